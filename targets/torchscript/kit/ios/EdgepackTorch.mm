// PyTorch's lite interpreter for Swift. Made by edgepack; the same for every model.
#import "EdgepackTorch.h"

#import <LibTorch-Lite/LibTorch-Lite.h>

#include <vector>

@implementation EdgepackTorch {
  torch::jit::mobile::Module _module;
}

static void report(const std::exception &caught, NSError **error) {
  if (error) {
    NSDictionary *info = @{NSLocalizedDescriptionKey : @(caught.what())};
    *error = [NSError errorWithDomain:@"edgepack" code:1 userInfo:info];
  }
}

- (nullable instancetype)initWithPath:(NSString *)path error:(NSError **)error {
  if ((self = [super init])) {
    try {
      at::globalContext().setQEngine(at::QEngine::QNNPACK);
      _module = torch::jit::_load_for_mobile(path.UTF8String);
    } catch (const std::exception &caught) {
      report(caught, error);
      return nil;
    }
  }
  return self;
}

- (nullable NSArray<NSData *> *)forward:(NSArray<NSData *> *)inputs
                                 shapes:(NSArray<NSArray<NSNumber *> *> *)shapes
                               elements:(NSArray<NSNumber *> *)elements
                                  error:(NSError **)error {
  try {
    c10::InferenceMode guard;
    std::vector<c10::IValue> values;
    for (NSUInteger i = 0; i < inputs.count; ++i) {
      std::vector<int64_t> shape;
      for (NSNumber *size in shapes[i]) shape.push_back(size.longLongValue);
      const auto type = static_cast<at::ScalarType>(elements[i].intValue);
      values.push_back(at::from_blob(const_cast<void *>(inputs[i].bytes), shape, type).clone());
    }
    const c10::IValue answer = _module.forward(values);
    std::vector<at::Tensor> tensors;
    if (answer.isTuple()) {
      for (const auto &each : answer.toTupleRef().elements()) tensors.push_back(each.toTensor());
    } else {
      tensors.push_back(answer.toTensor());
    }
    NSMutableArray<NSData *> *outputs = [NSMutableArray array];
    for (const auto &each : tensors) {
      const at::Tensor real = each.to(at::kFloat).contiguous();
      [outputs addObject:[NSData dataWithBytes:real.data_ptr<float>() length:real.numel() * sizeof(float)]];
    }
    return outputs;
  } catch (const std::exception &caught) {
    report(caught, error);
    return nil;
  }
}

@end
