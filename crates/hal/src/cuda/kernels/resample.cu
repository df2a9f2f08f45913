// Weighted sums of elements whose places are operands.

struct Resample {
    u64 outputs, height, width, rows, columns, row_taps, column_taps;
};

// Rows are joined first, as for each column of the input. A place outside of the image holds zero.
extern "C" __global__ void ab_resample(const float *x, const i32 *row_places, const float *row_weights,
                                       const i32 *column_places, const float *column_weights, float *y, Resample r) {
    u64 output = thread_index();
    if (output >= r.outputs) return;
    u64 row = output / r.columns;
    u64 column = output - row * r.columns;
    u64 plane = row / r.rows;
    row -= plane * r.rows;
    const float *image = x + plane * r.height * r.width;
    float sum = -0.0f;
    for (u64 tap = column * r.column_taps; tap < (column + 1) * r.column_taps; tap++) {
        u64 j = (u64)(i64)column_places[tap];
        float line = 0.0f;
        if (j < r.width) {
            line = -0.0f;
            for (u64 from = row * r.row_taps; from < (row + 1) * r.row_taps; from++) {
                u64 i = (u64)(i64)row_places[from];
                line += row_weights[from] * (i < r.height ? image[i * r.width + j] : 0.0f);
            }
        }
        sum += column_weights[tap] * line;
    }
    y[output] = sum;
}
