// Package jsonscan reads JSON that is written plainly, without a decoder's allocations:
// members by their brackets and quotes, and texts without escapes. It may refuse valid
// JSON, which is then read by encoding/json; it never accepts anything else.
package jsonscan
