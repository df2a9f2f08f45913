// All device functions as one unit.
#include "number.cu"
#include "elementwise.cu"
#include "movement.cu"
#include "product.cu"
#include "matmul.cu"
#include "convolution.cu"
#include "rows.cu"
#include "pooling.cu"
