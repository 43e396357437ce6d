package conversation

import (
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// AnyFrame may split a character over two deltas. The first half is kept until the delta
// that completes it, so that no frame ends in the middle of a character. See
// [upstream.Object.Piece].

// complete splits text into the part that ends with a whole character, with surrogate
// pairs joined into valid UTF-8, and the half character after it.
func complete(text string) (whole, half string) {
	if utf8.ValidString(text) {
		return text, ""
	}
	var b strings.Builder
	for i := 0; i < len(text); {
		r, size := utf8.DecodeRuneInString(text[i:])
		if r != utf8.RuneError || size > 1 {
			b.WriteString(text[i : i+size])
			i += size
			continue
		}
		high, low := surrogate(text[i:]), surrogate(text[min(i+3, len(text)):])
		switch joined := utf16.DecodeRune(high, low); {
		case joined != utf8.RuneError:
			b.WriteRune(joined)
			i += 6
		case high >= 0xd800 && high < 0xdc00 && i+3 == len(text),
			high == 0 && !utf8.FullRuneInString(text[i:]):
			return b.String(), text[i:]
		case high != 0:
			b.WriteRune(utf8.RuneError)
			i += 3
		default:
			b.WriteRune(utf8.RuneError)
			i++
		}
	}
	return b.String(), ""
}

// surrogate returns the surrogate at the beginning of text, in the encoding of
// [upstream.Object.Piece], or 0 if there is none.
func surrogate(text string) rune {
	if len(text) < 3 || text[0] != 0xed || text[1] < 0xa0 || text[1] > 0xbf || text[2]&0xc0 != 0x80 {
		return 0
	}
	return 0xd000 | rune(text[1]&0x3f)<<6 | rune(text[2]&0x3f)
}
