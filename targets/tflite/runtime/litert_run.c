/* A .tflite on LiteRT, for edgepack: litert_run LIBRARY ARTIFACT

   Says what goes in and out, then answers inputs with outputs until stdin ends; edgepack/devices/wire.py tells how.
   LIBRARY is the libLiteRt.so of the Python package ai-edge-litert. What is called of its C interface is declared here and
   looked up when the driver starts, so that a compiler and libc are all that it takes to make one. */

#include <dlfcn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { CANNOT_LOAD = 3, CANNOT_RUN = 4 };     /* exit codes of the wire */
enum { CPU = 1, READ = 0, WRITE = 1, MAX_RANK = 8 }; /* LiteRT's: an accelerator, lock modes, the most dimensions */

typedef void *Handle;

typedef struct {
  unsigned rank : 7, has_strides : 1;
  int32_t dimensions[MAX_RANK];
  uint32_t strides[MAX_RANK];
} Layout;

typedef struct {
  int32_t element;
  Layout layout;
} TensorType;

#define API(X)                                                                            \
  X(CreateEnvironment, (int count, const void *options, Handle *environment))             \
  X(CreateModelFromFile, (Handle environment, const char *path, Handle *model))           \
  X(CreateOptions, (Handle *options))                                                     \
  X(SetOptionsHardwareAccelerators, (Handle options, int accelerators))                   \
  X(CreateCompiledModel, (Handle environment, Handle model, Handle options, Handle *out)) \
  X(GetModelSignature, (Handle model, size_t index, Handle *signature))                   \
  X(GetNumSignatureInputs, (Handle signature, size_t *count))                             \
  X(GetNumSignatureOutputs, (Handle signature, size_t *count))                            \
  X(GetSignatureInputName, (Handle signature, size_t index, const char **name))           \
  X(GetSignatureOutputName, (Handle signature, size_t index, const char **name))          \
  X(GetSignatureInputTensorByIndex, (Handle signature, size_t index, Handle *tensor))     \
  X(GetSignatureOutputTensorByIndex, (Handle signature, size_t index, Handle *tensor))    \
  X(GetRankedTensorType, (Handle tensor, TensorType *type))                               \
  X(GetCompiledModelInputTensorLayout, (Handle, size_t signature, size_t, Layout *))      \
  X(GetCompiledModelOutputTensorLayouts, (Handle, size_t signature, size_t, Layout *, _Bool)) \
  X(GetCompiledModelInputBufferRequirements, (Handle, size_t signature, size_t, Handle *)) \
  X(GetCompiledModelOutputBufferRequirements, (Handle, size_t signature, size_t, Handle *)) \
  X(CreateManagedTensorBufferFromRequirements,                                            \
    (Handle environment, const TensorType *, Handle requirements, Handle *buffer))        \
  X(LockTensorBuffer, (Handle buffer, void **address, int mode))                          \
  X(UnlockTensorBuffer, (Handle buffer))                                                  \
  X(RunCompiledModel, (Handle, size_t signature, size_t, Handle *inputs, size_t, Handle *outputs))

#define DECLARE(name, parameters) static int(*name) parameters;
API(DECLARE)

typedef struct {
  size_t count;
  Handle *buffers;
  size_t *bytes; /* of each buffer, without padding */
} Tensors;

static int exit_code = CANNOT_LOAD;

static void fail(const char *what, const char *which) {
  fprintf(stderr, "error: %s%s\n", what, which);
  _Exit(exit_code);
}

/* LiteRT has said why on stderr. */
static void check(int status, const char *what) {
  if (status) {
    fprintf(stderr, "error: LiteRT %s (status %d)\n", what, status);
    _Exit(exit_code);
  }
}

static void *allocate(size_t count, size_t size) {
  void *memory = calloc(count ? count : 1, size);
  if (!memory) fail("out of memory", "");
  return memory;
}

static void bind(const char *path) {
  void *library = dlopen(path, RTLD_NOW);
  if (!library) fail("the runtime cannot be loaded: ", dlerror());
#define BIND(name, parameters)                       \
  *(void **)&name = dlsym(library, "LiteRt" #name);  \
  if (!name) fail("the runtime has no LiteRt", #name);
  API(BIND)
}

/* numpy's name of an element type and its size; LiteRT numbers them as TensorFlow Lite does. */
static const char *dtype(int element, size_t *size) {
  static const struct {
    int element;
    const char *name;
    size_t size;
  } known[] = {{1, "float32", 4}, {2, "int32", 4},    {3, "uint8", 1},      {4, "int64", 8},   {6, "bool", 1},
               {7, "int16", 2},   {8, "complex64", 8}, {9, "int8", 1},       {10, "float16", 2}, {11, "float64", 8},
               {12, "complex128", 16}, {13, "uint64", 8}, {16, "uint32", 4}, {17, "uint16", 2}};
  for (size_t each = 0; each < sizeof known / sizeof *known; each++) {
    if (known[each].element == element) {
      *size = known[each].size;
      return known[each].name;
    }
  }
  return NULL;
}

/* Print a tensor's line; return its size in bytes. */
static size_t announce(FILE *out, const char *way, const char *name, const TensorType *type) {
  size_t bytes;
  const char *element = dtype(type->element, &bytes);
  if (!element) fail("its type is none that numpy has: ", name);
  fprintf(out, "%s %s ", way, element);
  for (unsigned axis = 0; axis < type->layout.rank; axis++) {
    int32_t size = type->layout.dimensions[axis];
    if (size < 0) fail("its shape is not fixed: ", name);
    fprintf(out, axis ? "x%d" : "%d", (int)size);
    bytes *= (size_t)size;
  }
  fprintf(out, "%s %s\n", type->layout.rank ? "" : "-", name);
  return bytes;
}

static Tensors tensors(size_t count) {
  return (Tensors){count, allocate(count, sizeof(Handle)), allocate(count, sizeof(size_t))};
}

static Tensors inputs_of(Handle environment, Handle signature, Handle compiled, FILE *out) {
  size_t count;
  check(GetNumSignatureInputs(signature, &count), "does not tell the inputs");
  Tensors inputs = tensors(count);
  for (size_t each = 0; each < count; each++) {
    const char *name;
    Handle tensor, requirements;
    TensorType type = {0};
    check(GetSignatureInputName(signature, each, &name), "does not tell an input's name");
    check(GetSignatureInputTensorByIndex(signature, each, &tensor), "does not tell an input");
    check(GetRankedTensorType(tensor, &type), "does not tell an input's type");
    check(GetCompiledModelInputTensorLayout(compiled, 0, each, &type.layout), "does not tell an input's shape");
    inputs.bytes[each] = announce(out, "in", name, &type);
    check(GetCompiledModelInputBufferRequirements(compiled, 0, each, &requirements), "takes no input");
    check(CreateManagedTensorBufferFromRequirements(environment, &type, requirements, &inputs.buffers[each]),
          "has no memory for an input");
  }
  return inputs;
}

static Tensors outputs_of(Handle environment, Handle signature, Handle compiled, FILE *out) {
  size_t count;
  check(GetNumSignatureOutputs(signature, &count), "does not tell the outputs");
  Tensors outputs = tensors(count);
  Layout *layouts = allocate(count, sizeof *layouts);
  check(GetCompiledModelOutputTensorLayouts(compiled, 0, count, layouts, 1), "does not tell the outputs' shapes");
  for (size_t each = 0; each < count; each++) {
    const char *name;
    Handle tensor, requirements;
    TensorType type = {0};
    check(GetSignatureOutputName(signature, each, &name), "does not tell an output's name");
    check(GetSignatureOutputTensorByIndex(signature, each, &tensor), "does not tell an output");
    check(GetRankedTensorType(tensor, &type), "does not tell an output's type");
    type.layout = layouts[each];
    outputs.bytes[each] = announce(out, "out", name, &type);
    check(GetCompiledModelOutputBufferRequirements(compiled, 0, each, &requirements), "gives no output");
    check(CreateManagedTensorBufferFromRequirements(environment, &type, requirements, &outputs.buffers[each]),
          "has no memory for an output");
  }
  free(layouts);
  return outputs;
}

/* Fill the inputs from stdin. Returns 0 at its end. */
static int read_inputs(const Tensors *inputs) {
  for (size_t each = 0; each < inputs->count; each++) {
    void *address;
    check(LockTensorBuffer(inputs->buffers[each], &address, WRITE), "does not open an input");
    size_t got = fread(address, 1, inputs->bytes[each], stdin);
    check(UnlockTensorBuffer(inputs->buffers[each]), "does not close an input");
    if (got == 0 && each == 0 && feof(stdin)) return 0;
    if (got != inputs->bytes[each]) fail("stdin ended in the middle of the inputs", "");
  }
  return 1;
}

static void write_outputs(const Tensors *outputs, FILE *out) {
  for (size_t each = 0; each < outputs->count; each++) {
    void *address;
    check(LockTensorBuffer(outputs->buffers[each], &address, READ), "does not open an output");
    if (fwrite(address, 1, outputs->bytes[each], out) != outputs->bytes[each]) fail("nobody reads the outputs", "");
    check(UnlockTensorBuffer(outputs->buffers[each]), "does not close an output");
  }
  if (fflush(out)) fail("nobody reads the outputs", "");
}

int main(int count, char **arguments) {
  if (count != 3) fail("usage: litert_run LIBRARY ARTIFACT", "");
  FILE *out = fdopen(dup(STDOUT_FILENO), "wb"); /* for the wire alone: what the runtime prints goes to stderr */
  if (!out || dup2(STDERR_FILENO, STDOUT_FILENO) < 0) fail("there is no stdout", "");
  bind(arguments[1]);

  Handle environment, model, options, compiled, signature;
  check(CreateEnvironment(0, NULL, &environment), "does not start");
  check(CreateModelFromFile(environment, arguments[2], &model), "cannot read the artifact");
  check(CreateOptions(&options), "has no options");
  check(SetOptionsHardwareAccelerators(options, CPU), "has no CPU");
  check(CreateCompiledModel(environment, model, options, &compiled), "cannot load the artifact");
  check(GetModelSignature(model, 0, &signature), "finds no signature in the artifact");
  Tensors inputs = inputs_of(environment, signature, compiled, out);
  Tensors outputs = outputs_of(environment, signature, compiled, out);
  fputs("ready\n", out);
  fflush(out);

  exit_code = CANNOT_RUN;
  while (read_inputs(&inputs)) {
    check(RunCompiledModel(compiled, 0, inputs.count, inputs.buffers, outputs.count, outputs.buffers),
          "cannot run the artifact");
    write_outputs(&outputs, out);
  }
  _Exit(0); /* taking the runtime down takes time and gains nothing */
}
