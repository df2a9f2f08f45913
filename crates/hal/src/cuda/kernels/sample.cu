// Images at computed places, in double precision: where a place lies decides what is seen there.

enum { NEAREST, LINEAR, CUBIC };
enum { ZEROS, BORDER, REFLECTION };

struct Sample {
    u64 outputs, channels, count;
    u64 volume[6];
    u32 sampling, outside, align, axes;
};

static __device__ __forceinline__ double reflected(double x, double low, double high) {
    double range = high - low;
    if (range <= 0.0) return low;
    double away = x < low ? low - x : x - high;
    if (away <= 0.0) return x;
    double rest = fmod(away, range);
    bool turned = fmod(floor(away / range), 2.0) != 0.0;
    return (x < low) != turned ? low + rest : high - rest;
}

static __device__ __forceinline__ double cubic_weight(double x) {
    const double A = -0.75;
    if (x <= 1.0) return ((A + 2.0) * x - (A + 3.0)) * x * x + 1.0;
    if (x < 2.0) return ((A * x - 5.0 * A) * x + 8.0 * A) * x - 4.0 * A;
    return 0.0;
}

// The elements around a place along one axis, -1 where there is none, and their weights. No two
// operations become one, so that a place is rounded as on the processor.
static __device__ __forceinline__ int neighbours(const Sample &s, double value, u64 extent, i64 (&index)[4],
                                                 double (&weight)[4]) {
    double wide = (double)extent;
    double from = __dadd_rn(value, 1.0);
    double at = s.align ? __dmul_rn(from / 2.0, wide - 1.0) : __dadd_rn(__dmul_rn(from, wide), -1.0) / 2.0;
    double low = s.align ? 0.0 : -0.5;
    double high = s.align ? wide - 1.0 : wide - 0.5;
    if (s.sampling == NEAREST) at = rint(at);
    if (s.outside == BORDER && (at < low || high < at)) at = at < 0.0 ? 0.0 : at > wide - 1.0 ? wide - 1.0 : at;
    if (s.outside == REFLECTION) at = reflected(at, low, high);
    double base = s.sampling == NEAREST ? at : floor(at);
    double ratio = at - base;
    int taps = s.sampling == NEAREST ? 1 : s.sampling == LINEAR ? 2 : 4;
    for (int i = 0; i < taps; i++) {
        double step = s.sampling == CUBIC ? i - 1.0 : i;
        double place = base + step;
        if (s.outside == BORDER) place = place < 0.0 ? 0.0 : wide - 1.0 < place ? wide - 1.0 : place;
        if (s.outside == REFLECTION) place = reflected(place, low, high);
        index[i] = 0.0 <= place && place < wide ? (i64)place : -1;
        weight[i] = s.sampling == NEAREST  ? 1.0
                    : s.sampling == LINEAR ? (i == 0 ? 1.0 - ratio : ratio)
                                           : cubic_weight(fabs(step - ratio));
    }
    return taps;
}

// Of images of up to AXES axes, of which the last three have loops of their own.
template <class T, int AXES>
static __device__ __forceinline__ void sample(const T *x, const T *places, T *y, const Sample &s) {
    u64 output = thread_index();
    if (output >= s.outputs) return;
    u64 channel = output / s.count;
    const T *place = places + (channel / s.channels * s.count + (output - channel * s.count)) * s.axes;
    const u64 *volume = s.volume + (6 - AXES), *inner = s.volume + 3;
    u64 each = inner[0] * inner[1] * inner[2], plane = each;
    for (int axis = 0; axis < AXES - 3; axis++) plane *= volume[axis];
    const T *image = x + channel * plane;
    // Axes that the image does not have come first; the last one comes first among places.
    i64 index[AXES][4] = {};
    double weight[AXES][4];
    int taps[AXES];
    // The body is long, so that only the function that networks have gets it more than once.
    constexpr int COPIES = AXES == 3 && sizeof(T) == sizeof(float) ? AXES : 1;
#pragma unroll COPIES
    for (u32 axis = 0; axis < AXES; axis++) {
        taps[axis] = 1;
        weight[axis][0] = 1.0;
        if (AXES <= axis + s.axes)
            taps[axis] = neighbours(s, place[AXES - 1 - axis], volume[axis], index[axis], weight[axis]);
    }
    u32 choices = 1;
    for (int axis = 0; axis < AXES - 3; axis++) choices *= taps[axis];
    double sum = 0.0;
    for (u32 choice = 0; choice < choices; choice++) {
        // One of the taps along each of the outer axes, of which the last one changes first.
        bool inside = true;
        double far = 1.0;
        u64 at = 0, step = 1;
        u32 rest = choice;
        for (int axis = AXES - 4; axis >= 0; axis--) {
            u32 tap = rest % taps[axis];
            rest /= taps[axis];
            inside &= index[axis][tap] >= 0;
            far *= weight[axis][tap];
            at += (u64)index[axis][tap] * step;
            step *= volume[axis];
        }
        if (!inside) continue;
        const T *seen = image + at * each;
        for (int i = 0; i < taps[AXES - 3]; i++) {
            if (index[AXES - 3][i] < 0) continue;
            for (int j = 0; j < taps[AXES - 2]; j++) {
                if (index[AXES - 2][j] < 0) continue;
                const T *line = seen + (index[AXES - 3][i] * inner[1] + index[AXES - 2][j]) * inner[2];
                double both = far * weight[AXES - 3][i] * weight[AXES - 2][j];
                for (int k = 0; k < taps[AXES - 1]; k++)
                    if (index[AXES - 1][k] >= 0)
                        sum += (double)line[index[AXES - 1][k]] * (both * weight[AXES - 1][k]);
            }
        }
    }
    y[output] = (T)sum;
}

#define SAMPLE(NAME, T, AXES)                                                                      \
    extern "C" __global__ void NAME(const T *x, const T *places, T *y, Sample s) {                 \
        sample<T, AXES>(x, places, y, s);                                                          \
    }
SAMPLE(ab_sample, float, 3)
SAMPLE(ab_wide_sample, float, 6)
SAMPLE(ab_double_sample, double, 3)
SAMPLE(ab_double_wide_sample, double, 6)
