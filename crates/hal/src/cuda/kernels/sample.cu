// Images at computed places, in double precision: where a place lies decides what is seen there.

enum { NEAREST, LINEAR, CUBIC };
enum { ZEROS, BORDER, REFLECTION };

struct Sample {
    u64 outputs, channels, count;
    u64 volume[3];
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
static __device__ __forceinline__ int neighbours(const Sample &s, float value, u64 extent, i64 (&index)[4],
                                                 double (&weight)[4]) {
    double wide = (double)extent;
    double from = __dadd_rn((double)value, 1.0);
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

extern "C" __global__ void ab_sample(const float *x, const float *places, float *y, Sample s) {
    u64 output = thread_index();
    if (output >= s.outputs) return;
    u64 channel = output / s.count;
    const float *place = places + (channel / s.channels * s.count + (output - channel * s.count)) * s.axes;
    const float *image = x + channel * s.volume[0] * s.volume[1] * s.volume[2];
    // Axes that the image does not have come first; the last one comes first among places.
    i64 index[3][4] = {};
    double weight[3][4] = {{1.0}, {1.0}, {1.0}};
    int taps[3] = {1, 1, 1};
#pragma unroll
    for (u32 axis = 0; axis < 3; axis++)
        if (3 <= axis + s.axes) taps[axis] = neighbours(s, place[2 - axis], s.volume[axis], index[axis], weight[axis]);
    double sum = 0.0;
    for (int i = 0; i < taps[0]; i++) {
        if (index[0][i] < 0) continue;
        for (int j = 0; j < taps[1]; j++) {
            if (index[1][j] < 0) continue;
            const float *line = image + (index[0][i] * s.volume[1] + index[1][j]) * s.volume[2];
            double both = weight[0][i] * weight[1][j];
            for (int k = 0; k < taps[2]; k++)
                if (index[2][k] >= 0) sum += (double)line[index[2][k]] * (both * weight[2][k]);
        }
    }
    y[output] = (float)sum;
}
