// PyTorch's lite interpreter for Swift: put this header into the bridging header. Made by edgepack; the same for every model.
#import <Foundation/Foundation.h>

NS_ASSUME_NONNULL_BEGIN

@interface EdgepackTorch : NSObject

/// Load a .ptl file; nil with an error where it cannot be.
- (nullable instancetype)initWithPath:(NSString *)path error:(NSError **)error;

/// Run the model. The values of each input are row-major, of the element type that PyTorch numbers so (6 is float).
/// The answers are floats, row-major.
- (nullable NSArray<NSData *> *)forward:(NSArray<NSData *> *)inputs
                                 shapes:(NSArray<NSArray<NSNumber *> *> *)shapes
                               elements:(NSArray<NSNumber *> *)elements
                                  error:(NSError **)error;

@end

NS_ASSUME_NONNULL_END
