package relay

import (
	"encoding/json"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// Deltas are cut anywhere: between the two escapes of a surrogate pair, or
// between the bytes of a character. A piece is therefore read with the halves
// at its ends, and a half waits for the delta that completes it.

// piece reads a JSON string like [json.Unmarshal], but keeps what is not valid
// UTF-8, and writes a lone surrogate as the three bytes that it would have.
func piece(literal []byte) string {
	var text string
	if json.Unmarshal(literal, &text) != nil {
		return ""
	}
	if !strings.ContainsRune(text, utf8.RuneError) {
		return text // nearly always
	}
	b := make([]byte, 0, len(literal))
	for in := literal[1 : len(literal)-1]; len(in) > 0; {
		if in[0] != '\\' {
			b = append(b, in[0])
			in = in[1:]
			continue
		}
		if in[1] != 'u' {
			_ = json.Unmarshal([]byte{'"', '\\', in[1], '"'}, &text) // it was valid as a part
			b = append(b, text...)
			in = in[2:]
			continue
		}
		n, _ := strconv.ParseUint(string(in[2:6]), 16, 16)
		in = in[6:]
		if r := rune(n); utf16.IsSurrogate(r) {
			b = append(b, 0xed, 0x80|byte(r>>6&0x3f), 0x80|byte(r&0x3f))
		} else {
			b = utf8.AppendRune(b, r)
		}
	}
	return string(b)
}

// complete returns a text as far as it ends with a whole character, with its
// surrogate pairs joined and valid, and the half character behind it.
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

// surrogate returns the surrogate that text begins with, as piece writes it; 0
// if it begins with none.
func surrogate(text string) rune {
	if len(text) < 3 || text[0] != 0xed || text[1] < 0xa0 || text[1] > 0xbf || text[2]&0xc0 != 0x80 {
		return 0
	}
	return 0xd000 | rune(text[1]&0x3f)<<6 | rune(text[2]&0x3f)
}
