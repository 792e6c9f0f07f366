/* Findings of a strip of one ECG lead, without Python: docs/on-a-device.md.

     ./findings model.onnx strip.csv [RATE]

   model.onnx   what `ecgzoo export` wrote for a model of one lead
   strip.csv    a sample a line, in millivolts, with or without a header: `I`, `I (mV)`, or `time_s,I` and two columns
   RATE         sampling rate in Hz, if there is no column of times

   The model cuts the windows and calibrates the probabilities. Of the signal's quality only the size is checked: noise
   gets an answer, too.

   Research use only. Not a medical device. */

#include <errno.h>
#include <math.h>
#include <onnxruntime_c_api.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LONGEST_LINE 256
#define LONGEST_S 600    /* all windows are in memory at once */
#define LOOKED_AT 50     /* lines, to tell a 0 that is a sample from one that is not */
#define NO_HEART 100     /* samples in a row that all rise: times or counts */
#define CONTRACT 1       /* of docs/export.md */
#define PIECE_S 2        /* contains a heartbeat */
#define SMALLEST_MV 0.03 /* as Python's limits */
#define LARGEST_MV 12.0

static const OrtApi *ort;

static void fail(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    fputs("error: ", stderr);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
    exit(EXIT_FAILURE);
}

static void *checked(void *memory) {
    if (!memory) fail("there is not enough memory");
    return memory;
}

/* --- JSON: a value is a place in the text; escapes in strings stay as they are --- */

static const char *blank(const char *p) { return p + strspn(p, " \t\r\n"); }

/* What follows the value at p. */
static const char *after(const char *p) {
    int depth = 0;
    for (p = blank(p); *p; p++) {
        if (*p == '"') {
            for (p++; *p && *p != '"'; p++)
                if (*p == '\\' && p[1]) p++;
            if (!*p) break;
        } else if (*p == '{' || *p == '[') {
            depth++;
        } else if (*p == '}' || *p == ']') {
            if (depth-- == 0) break;
        } else if (*p == ',' && depth == 0) {
            break;
        }
    }
    return p;
}

/* The next item of an array or object, or NULL; `p` is its opening bracket or the end of the item before. */
static const char *next(const char *p) {
    p = blank(p + 1);
    return *p && *p != ']' && *p != '}' ? p : NULL;
}

/* The string at p, in new memory. */
static char *string(const char *p) {
    const char *end = p + 1;
    while (*p == '"' && *end && *end != '"') end += *end == '\\' && end[1] ? 2 : 1;
    size_t length = *p == '"' && *end ? (size_t)(end - p - 1) : 0;
    char *copy = checked(malloc(length + 1));
    memcpy(copy, p + 1, length);
    copy[length] = '\0';
    return copy;
}

/* The value of `key` in the object at p, or NULL. */
static const char *member(const char *p, const char *key) {
    size_t length = strlen(key);
    const char *item = *p == '{' ? next(p) : NULL;
    while (item && *item == '"') {
        const char *end = item + 1;
        while (*end && *end != '"') end += *end == '\\' && end[1] ? 2 : 1;
        const char *colon = *end ? blank(end + 1) : end;
        if (*colon != ':') return NULL;
        if ((size_t)(end - item - 1) == length && !strncmp(item + 1, key, length)) return blank(colon + 1);
        const char *rest = after(colon + 1);
        item = *rest == ',' ? next(rest) : NULL;
    }
    return NULL;
}

/* --- the model --- */

typedef struct {
    OrtSession *session;
    OrtAllocator *allocator;
    OrtModelMetadata *metadata;
} Model;

static void check(OrtStatus *status, const char *path) {
    if (status) fail("%s: ONNX Runtime refuses it (%s)", path, ort->GetErrorMessage(status));
}

static Model open_model(const char *path) {
    Model model = {0};
    OrtEnv *env;
    OrtSessionOptions *options;
    FILE *file = fopen(path, "rb");
    if (!file) fail("%s: %s; write it with `ecgzoo export`", path, strerror(errno));
    fclose(file);
    if (!(ort = OrtGetApiBase()->GetApi(ORT_API_VERSION)))
        fail("ONNX Runtime %s is older than the header that this was built with", OrtGetApiBase()->GetVersionString());
    check(ort->CreateEnv(ORT_LOGGING_LEVEL_FATAL, "findings", &env), path);
    check(ort->CreateSessionOptions(&options), path);
    check(ort->SetIntraOpNumThreads(options, 1), path);
    check(ort->CreateSession(env, path, options, &model.session), path);
    check(ort->GetAllocatorWithDefaultOptions(&model.allocator), path);
    check(ort->SessionGetModelMetadata(model.session, &model.metadata), path);
    return model;
}

/* A value of the model's metadata, as JSON text. */
static const char *metadata(const Model *model, const char *path, const char *key) {
    char *value = NULL;
    check(ort->ModelMetadataLookupCustomMetadataMap(model->metadata, model->allocator, key, &value), path);
    if (!value) fail("%s: has no %s in its metadata; write it with `ecgzoo export`", path, key);
    return blank(value);
}

/* --- the strip --- */

typedef struct {
    float *millivolts;
    long samples;
} Strip;

/* `text` without blanks, quotes and carriage returns around it. */
static char *trimmed(char *text) {
    while (*text && strchr(" \t\"", *text)) text++;
    for (char *end = text + strlen(text); end > text && strchr(" \t\r\n\"", end[-1]);) *--end = '\0';
    return text;
}

/* Whether `text` is a finite number. */
static int number(const char *text, double *value) {
    char *end;
    if (strspn(text, "+-.0123456789eE") != strlen(text)) return 0;
    *value = strtod(text, &end);
    return end != text && !*end && isfinite((float)*value);
}

/* The header's columns must be the model's lead in millivolts, behind the times if there are any. */
static int read_header(const char *path, char *line, const char *lead) {
    char *comma = strchr(line, ','), *column = line;
    if (comma) {
        *comma = '\0';
        char *times = trimmed(line);
        if (strcmp(times, "time_s") && strcmp(times, "time (s)"))
            fail("%s: line 1 begins with %s; expected `%s (mV)` or `time_s,%s`", path, times, lead, lead);
        column = comma + 1;
    }
    column = trimmed(column);
    char *bracket = strchr(column, '(');
    if (bracket && strcmp(bracket, "(mV)")) fail("%s: its unit is %s; expected (mV)", path, bracket);
    if (bracket) *bracket = '\0';
    column = trimmed(column);
    if (strcmp(column, lead)) fail("%s: line 1 names %s; the model reads lead %s", path, column, lead);
    return comma != NULL;
}

static Strip read_strip(const char *path, const char *lead, double rate, double given) {
    char buffer[LONGEST_LINE], *line;
    long room = 0, count = 0, empty = 0, odd = 0, falls = 0, most = (long)(LONGEST_S * rate);
    int times = 0, numbered = 0; /* line 1 is 0 above decimals: pandas' number of a column, as for Python no sample */
    double first = 0, time = 0, last = 0, value;
    Strip strip = {0};
    FILE *file = fopen(path, "r");
    if (!file) fail("%s: %s", path, strerror(errno));
    while (fgets(buffer, sizeof buffer, file)) {
        if (!strchr(buffer, '\n') && !feof(file)) fail("%s: line %ld is too long for a sample", path, count + 1);
        line = trimmed(count || strncmp(buffer, "\xef\xbb\xbf", 3) ? buffer : buffer + 3);
        if (count++ == 0 && *line && !strchr("+-.0123456789", *line)) {
            times = read_header(path, line, lead);
            continue;
        }
        if (!*line) {
            empty = empty ? empty : count;
            continue;
        }
        if (empty) fail("%s: line %ld is empty", path, empty);
        char *comma = times ? strchr(line, ',') : NULL;
        if (comma) *comma = '\0';
        if ((times && !comma) || (comma && !number(trimmed(line), &time)) ||
            !number(trimmed(comma ? comma + 1 : line), &value))
            fail("%s: line %ld is not %s", path, count, times ? "a time and a number" : "a number");
        if (!times && count <= LOOKED_AT)
            numbered = count == 1 ? !strcmp(line, "0") : numbered && strchr(line, '.') != NULL;
        if (strip.samples == most) fail("%s: is longer than %d s; cut it into parts", path, LONGEST_S);
        if (strip.samples == room) {
            room = room ? 2 * room : 4096;
            strip.millivolts = checked(realloc(strip.millivolts, (size_t)room * sizeof(float)));
        }
        if (strip.samples == 0) first = time;
        if (!odd && fabs((time - first) * rate - (double)strip.samples) >= 0.5) odd = count;
        if (strip.samples && value <= last) falls = 1;
        last = value;
        strip.millivolts[strip.samples++] = (float)value;
    }
    if (ferror(file)) fail("%s: %s", path, strerror(errno));
    fclose(file);
    if (numbered && strip.samples > 1) {
        strip.millivolts++;
        strip.samples--;
    }
    if (times && strip.samples > 1) {
        double found = (double)(strip.samples - 1) / (time - first);
        if (!(fabs(found - rate) < 0.01 * rate))
            fail("%s: its times are those of %g Hz; the model reads %g Hz: resample it", path, found, rate);
        if (odd) fail("%s: the time in line %ld does not fit; a sample is missing or doubled", path, odd);
    } else if (!times && given == 0) {
        fail("%s: does not say its rate; name it behind the file, such as 100, or add a column time_s", path);
    }
    if (!times && !falls && strip.samples >= NO_HEART)
        fail("%s: its column rises with every sample, as times and counts do and no lead does", path);
    return strip;
}

/* Most pieces must range over as much as heartbeats do: else the numbers are in another unit. */
static void check_size(const char *path, const Strip *strip, double rate) {
    long piece = (long)(PIECE_S * rate), large = 0, small = 0, pieces;
    if (piece > strip->samples) piece = strip->samples;
    pieces = strip->samples / piece;
    for (long at = 0; at < pieces; at++) {
        const float *millivolts = strip->millivolts + at * piece;
        float low = millivolts[0], high = millivolts[0];
        for (long n = 1; n < piece; n++) {
            low = fminf(low, millivolts[n]);
            high = fmaxf(high, millivolts[n]);
        }
        large += high - low > LARGEST_MV;
        small += high - low < SMALLEST_MV;
    }
    if (2 * large > pieces)
        fail("%s: its samples range over more than %g mV in %d s, and heartbeats over about 1 mV: are they microvolts? "
             "Divide them by 1000",
             path, LARGEST_MV, PIECE_S);
    if (2 * small > pieces)
        fail("%s: its samples range over less than %g mV in %d s, and heartbeats over about 1 mV: are they volts, or was "
             "an electrode off? Multiply volts by 1000",
             path, SMALLEST_MV, PIECE_S);
}

/* --- */

int main(int count, char **arguments) {
    if (count != 3 && count != 4) fail("expected MODEL.onnx STRIP.csv [RATE]");
    const char *path = arguments[1], *file = arguments[2], *item;
    double given = 0, points[3];
    if (count == 4 && (!number(arguments[3], &given) || given <= 0)) fail("%s is not a rate in Hz", arguments[3]);

    Model model = open_model(path);
    if (atoi(metadata(&model, path, "contract")) != CONTRACT)
        fail("%s: is of contract %s; this program reads %d", path, metadata(&model, path, "contract"), CONTRACT);
    const char *leads = metadata(&model, path, "leads");
    item = next(leads);
    if (!item || *after(item) == ',') fail("%s: reads leads %s; this program gives it one", path, leads);
    char *lead = string(item);
    double rate = atof(metadata(&model, path, "rate_hz"));
    long window = atol(metadata(&model, path, "window"));
    if (given != 0 && given != rate)
        fail("%s: is of %g Hz; the model reads %g Hz: resample it", file, given, rate);

    Strip strip = read_strip(file, lead, rate, given);
    double seconds = (double)strip.samples / rate;
    if (strip.samples < window)
        fail("%s: has %g s; the model needs %g s at least", file, seconds, (double)window / rate);
    check_size(file, &strip, rate);

    const char *in = "signal", *out = "probabilities";
    int64_t shape[] = {1, 1, strip.samples};
    OrtMemoryInfo *memory;
    OrtValue *signal, *result = NULL;
    OrtTensorTypeAndShapeInfo *info;
    size_t labels, position = 0;
    float *probabilities;
    check(ort->CreateCpuMemoryInfo(OrtArenaAllocator, OrtMemTypeDefault, &memory), path);
    check(ort->CreateTensorWithDataAsOrtValue(memory, strip.millivolts, (size_t)strip.samples * sizeof(float), shape, 3,
                                              ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT, &signal),
          path);
    check(ort->Run(model.session, NULL, &in, (const OrtValue *const *)&signal, 1, &out, 1, &result), path);
    check(ort->GetTensorTypeAndShape(result, &info), path);
    check(ort->GetTensorShapeElementCount(info, &labels), path);
    check(ort->GetTensorMutableData(result, (void **)&probabilities), path);

    printf("lead %s, %g Hz, %.1f s. Research use only.\n", lead, rate, seconds);
    const char *names = metadata(&model, path, "names"), *thresholds = metadata(&model, path, "thresholds");
    for (item = next(metadata(&model, path, "labels")); item && position < labels; position++) {
        char *label = string(item);
        const char *name = member(names, label), *of = member(thresholds, label);
        double p = probabilities[position];
        if (!isfinite(p)) fail("%s: gives no probability of %s for %s", path, label, file);
        printf("%-12s %.4f  ", label, p);
        if (of) {
            const char *keys[] = {"f1", "lower", "upper"};
            for (int i = 0; i < 3; i++) {
                const char *text = member(of, keys[i]);
                if (!text) fail("%s: label %s has no threshold %s", path, label, keys[i]);
                points[i] = atof(text);
            }
            const char *certain = p >= points[0] ? "present" : "absent";
            printf("%-10s", points[1] <= p && p < points[2] ? "uncertain" : certain);
            printf(" (uncertain from %.4f to %.4f)", points[1], points[2]);
        } else {
            printf("%-39s", "-");
        }
        printf("  %s\n", name ? string(name) : label);
        const char *rest = after(item);
        item = *rest == ',' ? next(rest) : NULL;
    }
    if (item || position != labels) fail("%s: gives %zu probabilities for another number of labels", path, labels);
    return EXIT_SUCCESS;
}
