// Package loose decodes JSON objects into structs and tolerates members of an
// unexpected type. A member is converted if its meaning is clear, such as the
// number 7.0 or the string "7" for the integer 7. Otherwise it counts as absent,
// and the rest of the object is still decoded.
package loose

import (
	"bytes"
	"encoding"
	"encoding/json"
	"errors"
	"iter"
	"math"
	"reflect"
	"strconv"
	"strings"
	"sync"
)

// ErrNoObject is returned for a value that is not a JSON object.
var ErrNoObject = errors.New("not a JSON object")

// Object decodes an object into the struct that v points to. Names must match the
// json tags exactly. Fields of absent members keep their values. It fails only if
// the data is not an object.
func Object(data []byte, v any) error {
	if !json.Valid(data) {
		return json.Unmarshal(data, new(any)) // for its error message
	}
	return object(data, reflect.ValueOf(v).Elem())
}

// object is Object for valid JSON.
func object(data []byte, v reflect.Value) error {
	data = bytes.TrimSpace(data)
	if data[0] != '{' {
		return ErrNoObject
	}
	fields := fieldsOf(v.Type())
	for name, value := range members(data) {
		if f, ok := fields[name]; ok {
			set(value, v.FieldByIndex(f.index), f.exact)
		}
	}
	return nil
}

// members yields the members of an object in valid JSON. Of several members with
// one name the last one counts, as in encoding/json.
func members(data []byte) iter.Seq2[string, json.RawMessage] {
	return func(yield func(string, json.RawMessage) bool) {
		for i := 1; ; {
			for data[i] != '"' {
				if data[i] == '}' {
					return
				}
				i++
			}
			end := valueEnd(data, i)
			raw := data[i:end]
			name := string(raw[1 : len(raw)-1])
			if strings.ContainsFunc(name, func(c rune) bool { return c == '\\' || c >= 0x80 }) {
				name, _ = String(raw)
			}
			i = end + bytes.IndexByte(data[end:], ':') + 1
			i = len(data) - len(bytes.TrimLeft(data[i:], " \t\r\n"))
			end = valueEnd(data, i)
			if !yield(name, data[i:end:end]) {
				return
			}
			i = end
		}
	}
}

// valueEnd returns the end of the value that starts at i, in valid JSON.
func valueEnd(data []byte, i int) int {
	depth := 0
	for ; i < len(data); i++ {
		switch data[i] {
		case '"':
			for i++; data[i] != '"'; i++ {
				if data[i] == '\\' {
					i++
				}
			}
		case '{', '[':
			depth++
			continue
		case '}', ']':
			if depth--; depth < 0 { // the end of what contains a number
				return i
			}
		case ',', ' ', '\t', '\r', '\n', ':':
			if depth == 0 {
				return i
			}
			continue
		default:
			continue
		}
		if depth == 0 {
			return i + 1
		}
	}
	return i
}

// field is the destination of a member.
type field struct {
	index []int
	exact bool
}

var structs sync.Map // map[string]field by type

// fieldsOf returns the fields of a struct by name, including those of embedded
// structs.
func fieldsOf(t reflect.Type) map[string]field {
	if known, ok := structs.Load(t); ok {
		fields, _ := known.(map[string]field)
		return fields
	}
	fields := map[string]field{}
	for _, f := range reflect.VisibleFields(t) {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		if !f.Anonymous && f.IsExported() && name != "" && name != "-" {
			fields[name] = field{f.Index, isReference(name)}
		}
	}
	structs.Store(t, fields)
	return fields
}

// isReference reports whether a member identifies something, so that a fraction is
// invalid.
func isReference(name string) bool {
	return name == "id" || name == "seq" || name == "port" || strings.HasSuffix(name, "_id")
}

// set decodes raw into v and reports whether it could. If not, v is not changed.
// exact refuses to cut off a fraction.
func set(raw json.RawMessage, v reflect.Value, exact bool) bool {
	raw = bytes.TrimSpace(raw)
	if len(raw) == 0 || string(raw) == "null" {
		return false
	}
	if v.Type() == reflect.TypeFor[json.RawMessage]() {
		v.SetBytes(bytes.Clone(raw))
		return true
	}
	if v.Kind() == reflect.Pointer {
		to := reflect.New(v.Type().Elem())
		if !set(raw, to.Elem(), exact) {
			return false
		}
		v.Set(to)
		return true
	}
	if done, ok := own(raw, v); done {
		return ok
	}
	switch v.Kind() { //nolint:exhaustive // the kinds that models have
	case reflect.String:
		s, ok := String(raw)
		if ok {
			v.SetString(s)
		}
		return ok
	case reflect.Bool:
		b, ok := Bool(raw)
		if ok {
			v.SetBool(b)
		}
		return ok
	case reflect.Int, reflect.Int64:
		n, whole, ok := number(raw)
		if ok = ok && (whole || !exact) && !v.OverflowInt(n); ok {
			v.SetInt(n)
		}
		return ok
	case reflect.Slice:
		return setSlice(raw, v)
	case reflect.Map:
		return setMap(raw, v)
	case reflect.Interface:
		var value any
		ok := json.Unmarshal(raw, &value) == nil
		if ok {
			v.Set(reflect.ValueOf(value))
		}
		return ok
	case reflect.Struct:
		fresh := reflect.New(v.Type()).Elem()
		if object(raw, fresh) != nil {
			return false
		}
		v.Set(fresh)
		return true
	default:
		return false
	}
}

// own calls a type's own decoder; done reports whether it has one.
func own(raw json.RawMessage, v reflect.Value) (done, ok bool) {
	fresh := reflect.New(v.Type())
	switch u := fresh.Interface().(type) {
	case json.Unmarshaler:
		ok = u.UnmarshalJSON(raw) == nil
	case encoding.TextUnmarshaler:
		s, isString := String(raw)
		ok = isString && u.UnmarshalText([]byte(s)) == nil
	default:
		return false, false
	}
	if ok {
		v.Set(fresh.Elem())
	}
	return true, ok
}

// setSlice skips items that cannot be decoded. A slice of interfaces accepts a
// single value as a list of one.
func setSlice(raw json.RawMessage, v reflect.Value) bool {
	var items []json.RawMessage
	if json.Unmarshal(raw, &items) != nil {
		if v.Type().Elem().Kind() != reflect.Interface {
			return false
		}
		items = []json.RawMessage{raw}
	}
	list := reflect.MakeSlice(v.Type(), 0, len(items))
	for _, item := range items {
		to := reflect.New(v.Type().Elem()).Elem()
		if set(item, to, true) {
			list = reflect.Append(list, to)
		}
	}
	v.Set(list)
	return true
}

// setMap keeps the name of a value that cannot be decoded, with the zero value.
func setMap(raw json.RawMessage, v reflect.Value) bool {
	var members map[string]json.RawMessage
	if json.Unmarshal(raw, &members) != nil || v.Type().Key().Kind() != reflect.String {
		return false
	}
	m := reflect.MakeMapWithSize(v.Type(), len(members))
	for name, value := range members {
		to := reflect.New(v.Type().Elem()).Elem()
		set(value, to, false)
		m.SetMapIndex(reflect.ValueOf(name).Convert(v.Type().Key()), to)
	}
	v.Set(m)
	return true
}

// String decodes a string, or a number as its text.
func String(raw json.RawMessage) (s string, ok bool) {
	if len(raw) > 0 && raw[0] == '"' {
		ok = json.Unmarshal(raw, &s) == nil
		return s, ok
	}
	return string(raw), isNumber(raw)
}

// Int decodes a whole number, in any notation or as a string.
func Int(raw json.RawMessage) (n int64, ok bool) {
	n, whole, ok := number(raw)
	return n, ok && whole
}

// Bool decodes true and false, numbers as true if they are not 0, and the
// corresponding strings.
func Bool(raw json.RawMessage) (b, ok bool) {
	s, ok := String(raw)
	if !ok {
		s = string(raw)
	}
	switch strings.ToLower(strings.TrimSpace(s)) {
	case "true":
		return true, true
	case "false":
		return false, true
	}
	s = strings.TrimSpace(s)
	f, err := strconv.ParseFloat(s, 64)
	return f != 0, err == nil && isNumber([]byte(s))
}

// isNumber reports whether raw contains only characters of a decimal number.
func isNumber(raw []byte) bool {
	return len(raw) > 0 && (raw[0] == '-' || raw[0] >= '0' && raw[0] <= '9') &&
		len(bytes.Trim(raw, "0123456789+-.eE")) == 0 && !bytes.ContainsAny(raw, "xXpP_")
}

// number parses a number as an integer, rounded towards zero; whole reports whether
// nothing was cut off.
func number(raw json.RawMessage) (n int64, whole, ok bool) {
	s, ok := String(raw)
	s = strings.TrimSpace(s)
	if !ok || !isNumber([]byte(s)) {
		return 0, false, false
	}
	if n, err := strconv.ParseInt(s, 10, 64); err == nil {
		return n, true, true
	}
	f, err := strconv.ParseFloat(s, 64)
	const most = 1 << 53 // beyond it a float64 is not exact
	if err != nil || math.Abs(f) > most {
		return 0, false, false
	}
	return int64(f), f == math.Trunc(f), true
}
