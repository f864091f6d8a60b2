/* Answers of a CUDA runtime that has one RTX 4090: enough for PyTorch's device guards and attention's dispatch over fake
   tensors. Nothing is ever launched. Offsets are of cudaDeviceProp in CUDA 12 and 13. */
#include <string.h>

int cudaGetDevice(int *device) { *device = 0; return 0; }
int cudaSetDevice(int device) { return 0; }
int cudaGetDeviceCount(int *count) { *count = 1; return 0; }
int cudaGetLastError(void) { return 0; }
int cudaPeekAtLastError(void) { return 0; }
int cudaDeviceGetAttribute(int *value, int attribute, int device) { *value = 0; return 0; }
int cudaRuntimeGetVersion(int *version) { *version = 13000; return 0; }
int cudaDriverGetVersion(int *version) { *version = 13000; return 0; }

int cudaGetDeviceProperties(char *properties, int device) {
    memset(properties, 0, 600);
    strcpy(properties, "NVIDIA GeForce RTX 4090");
    *(long *)(properties + 288) = 24L << 30; /* totalGlobalMem */
    *(long *)(properties + 296) = 49152;     /* sharedMemPerBlock */
    *(int *)(properties + 308) = 32;         /* warpSize */
    *(int *)(properties + 320) = 1024;       /* maxThreadsPerBlock */
    *(int *)(properties + 360) = 8;          /* major */
    *(int *)(properties + 364) = 9;          /* minor */
    return 0;
}

int cudaGetDeviceProperties_v2(char *properties, int device) { return cudaGetDeviceProperties(properties, device); }
