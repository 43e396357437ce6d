package upstream

import (
	"encoding/json"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// Piece decodes the text of a delta from a JSON string. Deltas may be cut anywhere:
// between the two escapes of a surrogate pair, or between the bytes of a character. Piece
// therefore keeps invalid UTF-8, and encodes a lone surrogate as three bytes.
func (m Object) Piece(key string) string { return piece(m[key]) }

// piece decodes a JSON string like [json.Unmarshal], but keeps invalid UTF-8, and encodes
// a lone surrogate as three bytes.
func piece(literal []byte) string {
	var text string
	if json.Unmarshal(literal, &text) != nil {
		return ""
	}
	if !strings.ContainsRune(text, utf8.RuneError) {
		return text // the usual case
	}
	b := make([]byte, 0, len(literal))
	for in := literal[1 : len(literal)-1]; len(in) > 0; {
		if in[0] != '\\' {
			b = append(b, in[0])
			in = in[1:]
			continue
		}
		if in[1] != 'u' {
			_ = json.Unmarshal([]byte{'"', '\\', in[1], '"'}, &text) // already validated as a part
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
