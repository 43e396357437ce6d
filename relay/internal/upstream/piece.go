package upstream

import (
	"encoding/json"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// Piece reads a text of a delta as a JSON string. Deltas are cut anywhere: between the two
// escapes of a surrogate pair, or between the bytes of a character. So it keeps what is
// not valid UTF-8, and writes a lone surrogate as the three bytes that it would have.
func (m Object) Piece(key string) string { return piece(m[key]) }

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
