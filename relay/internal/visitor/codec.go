package visitor

import (
	"encoding/base32"
	"encoding/binary"
	"errors"
	"time"
)

// Codec encodes the stored row of a visitor's token compactly, because there is such a
// row for every visitor. The row contains the format, flags of the visitor, the deadline
// in milliseconds, and the id. A row of another format belongs to an unknown visitor.
type Codec struct{}

const (
	rowFormat = 1

	rowIdentified  = 1 << 0
	rowProvisional = 1 << 1
	rowPacked      = 1 << 2 // the id is one of ours, five bits per letter
)

type row struct {
	deadline                time.Time
	id                      string
	identified, provisional bool
}

var errBadRow = errors.New("visitor row is not readable")

// Encode implements [scs.Codec].
func (Codec) Encode(deadline time.Time, values map[string]any) ([]byte, error) {
	id, _ := values[idKey].(string)
	b := binary.AppendVarint([]byte{rowFormat, 0}, deadline.UnixMilli())
	if identified, _ := values[identifiedKey].(bool); identified {
		b[1] |= rowIdentified
	}
	if provisional, _ := values[provisionalKey].(bool); provisional {
		b[1] |= rowProvisional
	}
	if packed, ok := packID(id); ok {
		b[1] |= rowPacked
		return append(b, packed...), nil
	}
	return append(b, id...), nil
}

// Decode implements [scs.Codec].
func (Codec) Decode(b []byte) (time.Time, map[string]any, error) {
	r, ok := readRow(b)
	if !ok || r.id == "" {
		return time.Time{}, nil, errBadRow
	}
	return r.deadline, map[string]any{idKey: r.id, identifiedKey: r.identified, provisionalKey: r.provisional}, nil
}

func readRow(b []byte) (r row, ok bool) {
	if len(b) < 2 || b[0] != rowFormat {
		return r, false
	}
	flags := b[1]
	ms, n := binary.Varint(b[2:])
	if n <= 0 || flags&^(rowIdentified|rowProvisional|rowPacked) != 0 {
		return r, false
	}
	r = row{time.UnixMilli(ms), string(b[2+n:]), flags&rowIdentified != 0, flags&rowProvisional != 0}
	if flags&rowPacked != 0 {
		r.id = unpackID(r.id)
	}
	return r, true
}

const (
	idLetters = 26 // of rand.Text
	idBytes   = 17
	idFill    = "AAAAAA" // pads the letters to whole bytes
)

// packID packs an id made by rand.Text into idBytes. It returns false for any other id.
func packID(id string) (packed string, ok bool) {
	b, err := base32.StdEncoding.DecodeString(id + idFill)
	if err != nil || len(id) != idLetters {
		return "", false
	}
	packed = string(b[:idBytes])
	return packed, unpackID(packed) == id
}

// unpackID returns the id that packID packed, or "".
func unpackID(packed string) string {
	if len(packed) != idBytes {
		return ""
	}
	return base32.StdEncoding.EncodeToString(append([]byte(packed), 0, 0, 0))[:idLetters]
}
