// Images at computed places, in double precision: where a place lies decides what is seen there.

enum { NEAREST, LINEAR, CUBIC };
enum { ZEROS, BORDER, REFLECTION };

struct Sample {
    u64 outputs, channels, height, width, count;
    u32 sampling, outside, align, unused;
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
    const float *place = places + (channel / s.channels * s.count + (output - channel * s.count)) * 2;
    const float *image = x + channel * s.height * s.width;
    i64 row[4], column[4];
    double down[4], across[4];
    int rows = neighbours(s, place[1], s.height, row, down);
    int columns = neighbours(s, place[0], s.width, column, across);
    double sum = 0.0;
    for (int i = 0; i < rows; i++)
        for (int j = 0; j < columns; j++)
            if (row[i] >= 0 && column[j] >= 0)
                sum += (double)image[row[i] * (i64)s.width + column[j]] * (down[i] * across[j]);
    y[output] = (float)sum;
}
