package relay

import (
	"encoding/base32"
	"encoding/binary"
	"encoding/json"
	"errors"
	"time"
)

// visitorCodec writes what the store has of a visitor's token in few bytes:
// there is such a row for everybody who ever came. It is the format, what is
// known of the visitor, the deadline in milliseconds, and the id. Rows of
// another format are unknown, but for the JSON that was written before this one.
type visitorCodec struct{}

const (
	visitorFormat = 1

	rowIdentified = 1 << 0
	rowBrief      = 1 << 1
	rowPacked     = 1 << 2 // the id is one of ours, of five bits a letter
)

type visitorRow struct {
	Deadline   time.Time `json:"deadline"`
	Visitor    string    `json:"visitor"`
	Identified bool      `json:"identified"`
	Brief      bool      `json:"brief"`
}

var errBadVisitorRow = errors.New("visitor row is not readable")

// Encode implements [scs.Codec].
func (visitorCodec) Encode(deadline time.Time, values map[string]any) ([]byte, error) {
	id, _ := values[visitorIDKey].(string)
	b := binary.AppendVarint([]byte{visitorFormat, 0}, deadline.UnixMilli())
	if identified, _ := values[identifiedKey].(bool); identified {
		b[1] |= rowIdentified
	}
	if brief, _ := values[briefKey].(bool); brief {
		b[1] |= rowBrief
	}
	if packed, ok := packID(id); ok {
		b[1] |= rowPacked
		return append(b, packed...), nil
	}
	return append(b, id...), nil
}

// Decode implements [scs.Codec].
func (visitorCodec) Decode(b []byte) (time.Time, map[string]any, error) {
	row, ok := readVisitorRow(b)
	if !ok || row.Visitor == "" {
		return time.Time{}, nil, errBadVisitorRow
	}
	return row.Deadline, map[string]any{visitorIDKey: row.Visitor, identifiedKey: row.Identified, briefKey: row.Brief}, nil
}

func readVisitorRow(b []byte) (row visitorRow, ok bool) {
	if len(b) > 0 && b[0] == '{' {
		return row, json.Unmarshal(b, &row) == nil
	}
	if len(b) < 2 || b[0] != visitorFormat {
		return row, false
	}
	flags := b[1]
	ms, n := binary.Varint(b[2:])
	if n <= 0 || flags&^(rowIdentified|rowBrief|rowPacked) != 0 {
		return row, false
	}
	row = visitorRow{time.UnixMilli(ms), string(b[2+n:]), flags&rowIdentified != 0, flags&rowBrief != 0}
	if flags&rowPacked != 0 {
		row.Visitor = unpackID(row.Visitor)
	}
	return row, true
}

const (
	idLetters = 26 // of rand.Text
	idBytes   = 17
	idFill    = "AAAAAA" // makes whole bytes of the letters
)

// packID returns an id of rand.Text in idBytes, and false for any other.
func packID(id string) (packed string, ok bool) {
	b, err := base32.StdEncoding.DecodeString(id + idFill)
	if err != nil || len(id) != idLetters {
		return "", false
	}
	packed = string(b[:idBytes])
	return packed, unpackID(packed) == id
}

// unpackID returns the id that packID made so small, or "".
func unpackID(packed string) string {
	if len(packed) != idBytes {
		return ""
	}
	return base32.StdEncoding.EncodeToString(append([]byte(packed), 0, 0, 0))[:idLetters]
}
