package anyframe

import (
	"encoding"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"reflect"
	"strings"
)

// revealed returns v as it is to be sent, with each [Secret] and [EnvVars] in maps
// and lists replaced by its value, and those values. A Secret that cannot be
// replaced, such as in a struct, is an error: it would be sent masked. A value
// without any is returned as it is.
func revealed(v any) (sent any, secrets []string, err error) {
	sent, err = reveal(reflect.ValueOf(v), &secrets, 0)
	return sent, secrets, err
}

// deepest bounds the depth of a body with secrets, which may contain itself.
// encoding/json reports a body without secrets that does.
const deepest = 1000

// reveal is revealed at the given depth of a body. It adds to secrets.
func reveal(v reflect.Value, secrets *[]string, depth int) (any, error) {
	switch {
	case !v.IsValid():
		return nil, nil
	case !holdsSecret(v, map[visit]bool{}):
		return v.Interface(), nil
	case depth > deepest:
		return nil, errors.New("has a Secret and is nested too deeply, or contains itself")
	}
	switch secret := v.Interface().(type) {
	case Secret:
		*secrets = append(*secrets, secret.Reveal())
		return secret.Reveal(), nil
	case EnvVars:
		*secrets = append(*secrets, secret.values()...)
		return map[string]string(secret), nil
	}
	switch v.Kind() { //nolint:exhaustive // all others cannot be rebuilt
	case reflect.Pointer, reflect.Interface:
		return reveal(v.Elem(), secrets, depth+1)
	case reflect.Slice, reflect.Array:
		items := make([]any, v.Len())
		for i := range items {
			item, err := reveal(v.Index(i), secrets, depth+1)
			if err != nil {
				return nil, err
			}
			items[i] = item
		}
		return items, nil
	case reflect.Map:
		members := reflect.MakeMap(reflect.MapOf(v.Type().Key(), reflect.TypeFor[any]()))
		for name, value := range v.Seq2() {
			if holdsSecret(name, map[visit]bool{}) {
				return nil, masked(v)
			}
			member, err := reveal(value, secrets, depth+1)
			if err != nil {
				return nil, err
			}
			members.SetMapIndex(name, reflect.ValueOf(&member).Elem())
		}
		return members.Interface(), nil
	}
	return nil, masked(v)
}

func masked(v reflect.Value) error {
	return fmt.Errorf("has a Secret in a %s, which would be sent as it prints: use Reveal", v.Type())
}

// revealedMap is revealed for a map of a request's parameters.
func revealedMap(r request, name string, m map[string]any) (map[string]any, request) {
	sent, secrets, err := revealed(m)
	if err != nil {
		return nil, r.refuse("body", name, err.Error())
	}
	members, _ := sent.(map[string]any)
	return members, r.hide(secrets...)
}

// visit is a value that holdsSecret has been at.
type visit struct {
	at  uintptr
	len int
	t   reflect.Type
}

// holdsSecret reports whether encoding/json would find a [Secret] or an [EnvVars]
// in v, also behind an interface. It does not look into values that have their own
// encoding. seen are the values where it has been, so that it ends if v contains
// itself.
func holdsSecret(v reflect.Value, seen map[visit]bool) bool {
	if !v.IsValid() {
		return false
	}
	t := v.Type()
	if t == reflect.TypeFor[Secret]() || t == reflect.TypeFor[EnvVars]() {
		return true
	}
	switch t.Kind() { //nolint:exhaustive // all others cannot contain themselves
	case reflect.Interface:
		return holdsSecret(v.Elem(), seen)
	case reflect.Pointer, reflect.Map, reflect.Slice:
		here := visit{at: v.Pointer(), t: t}
		if t.Kind() == reflect.Slice {
			here.len = v.Len()
		}
		if seen[here] {
			return false
		}
		seen[here] = true
	}
	if t.Kind() == reflect.Pointer {
		return holdsSecret(v.Elem(), seen)
	}
	own := encodesItself(t) || v.CanAddr() && encodesItself(reflect.PointerTo(t))
	if own && t.Kind() != reflect.Struct {
		return false
	}
	switch t.Kind() { //nolint:exhaustive // all others hold nothing
	case reflect.Slice, reflect.Array:
		for i := range v.Len() {
			if holdsSecret(v.Index(i), seen) {
				return true
			}
		}
	case reflect.Map:
		for name, value := range v.Seq2() {
			if holdsSecret(name, seen) || holdsSecret(value, seen) {
				return true
			}
		}
	case reflect.Struct:
		for f, value := range v.Fields() {
			encoded := (f.IsExported() || f.Anonymous) && f.Tag.Get("json") != "-"
			if own { // perhaps only because the embedded Secret has it
				encoded = f.Anonymous && encodesItself(f.Type)
			}
			if encoded && holdsSecret(value, seen) {
				return true
			}
		}
	}
	return false
}

// encodesItself reports whether encoding/json leaves the encoding to the type.
func encodesItself(t reflect.Type) bool {
	return t.Implements(reflect.TypeFor[json.Marshaler]()) || t.Implements(reflect.TypeFor[encoding.TextMarshaler]())
}

// canHold reports whether a response can be stored in out.
func canHold(out any) bool {
	v := reflect.ValueOf(out)
	return out == nil || v.Kind() == reflect.Pointer && !v.IsNil()
}

// anyRequest is a request for the caller's own path.
func anyRequest(method, path string) request {
	r := request{method: method, path: path, reads: method == http.MethodGet || method == http.MethodHead}
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete:
	default:
		return r.refuse("method", "method", fmt.Sprintf("%q is none of GET, HEAD, POST, PUT, PATCH and DELETE", method))
	}
	u, err := url.ParseRequestURI(path)
	switch {
	case err != nil || !strings.HasPrefix(path, "/") || strings.Contains(path, "#"):
		return r.refuse("path", "path", "is not one that begins with a slash")
	case strings.ContainsFunc(path, func(c rune) bool { return c <= ' ' || c >= 0x7f || c == '\\' }):
		return r.refuse("path", "path", "has a character that must be escaped")
	}
	for segment := range strings.SplitSeq(u.EscapedPath()[1:], "/") {
		// A server may take such a path for another one, with the key attached.
		plain, err := url.PathUnescape(segment)
		if err != nil || plain == "" || plain == "." || plain == ".." || strings.ContainsAny(plain, `/\`) && strings.Contains(plain, "..") {
			return r.refuse("path", "path", "has a segment that is empty or climbs")
		}
	}
	r.path = u.EscapedPath()
	if r.query, err = url.ParseQuery(u.RawQuery); err != nil {
		return r.refuse("path", "path", "has a query that is malformed")
	}
	return r
}
