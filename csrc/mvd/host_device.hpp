// MVD_HD before an inline function: CUDA kernels may call it as well. Elsewhere it is nothing.
#pragma once

#ifdef __CUDACC__
#define MVD_HD __host__ __device__
#else
#define MVD_HD
#endif
