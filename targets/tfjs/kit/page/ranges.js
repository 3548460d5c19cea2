/** What values stand for when nobody has said it: pixels fill one of the usual ranges. */

const USUAL = [[0, 1], [-1, 1], [0, 255]];
const LEAST = 8; // pixels a side; what is smaller is hardly a picture

/** The least and the largest of all values. */
export function extent(arrays) {
  let [low, high] = [Infinity, -Infinity];
  for (const data of arrays) {
    for (const value of data) {
      if (value < low) low = value;
      if (value > high) high = value;
    }
  }
  return [low, high];
}

/** The usual range that these values clearly fill, if any; `slack` is how much of it they may exceed it by. */
export function pixelRange([low, high], slack = 0) {
  return USUAL.find(([from, to]) => {
    const [quarter, over] = [(to - from) / 4, (to - from) * slack];
    return low >= from - over && low <= from + quarter && high >= to - quarter && high <= to + over;
  });
}

/** Whether a tensor can be shown as one picture, grey or RGB. */
export function isPictureShape(shape) {
  const [batch, height, width, channels] = shape;
  return shape.length === 4 && batch === 1 && Math.min(height, width) >= LEAST && [1, 3].includes(channels);
}
