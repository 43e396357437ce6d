package anyframe

import (
	"fmt"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strings"
)

// revealed returns v as it is to be sent, with each [Secret] and [EnvVars] in maps
// and lists replaced by its value, and those values. A Secret that cannot be
// replaced, such as in a struct, is an error: it would be sent masked.
func revealed(v any) (sent any, secrets []string, err error) {
	switch v := v.(type) {
	case Secret:
		return v.Reveal(), []string{v.Reveal()}, nil
	case *Secret:
		if v == nil {
			return nil, nil, nil
		}
		return v.Reveal(), []string{v.Reveal()}, nil
	case EnvVars:
		if v == nil {
			return nil, nil, nil
		}
		return map[string]string(v), v.values(), nil
	case map[string]any:
		if v == nil {
			return v, nil, nil
		}
		members := make(map[string]any, len(v))
		for name, value := range v {
			plain, more, err := revealed(value)
			if err != nil {
				return nil, nil, err
			}
			members[name], secrets = plain, append(secrets, more...)
		}
		return members, secrets, nil
	case []any:
		if v == nil {
			return v, nil, nil
		}
		items := make([]any, len(v))
		for i, value := range v {
			plain, more, err := revealed(value)
			if err != nil {
				return nil, nil, err
			}
			items[i], secrets = plain, append(secrets, more...)
		}
		return items, secrets, nil
	}
	if v != nil && hasSecret(reflect.TypeOf(v), nil) {
		return nil, nil, fmt.Errorf("has a Secret in a %T, which would be sent as it prints: use Reveal", v)
	}
	return v, nil, nil
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

var secretTypes = []reflect.Type{reflect.TypeFor[Secret](), reflect.TypeFor[EnvVars]()}

// hasSecret reports whether values of the type may contain a Secret that revealed
// does not reach.
func hasSecret(t reflect.Type, seen []reflect.Type) bool {
	if slices.Contains(seen, t) {
		return false
	}
	seen = append(seen, t)
	if slices.Contains(secretTypes, t) {
		return true
	}
	switch t.Kind() { //nolint:exhaustive // all others hold nothing
	case reflect.Pointer, reflect.Slice, reflect.Array, reflect.Map:
		return hasSecret(t.Elem(), seen)
	case reflect.Struct:
		for f := range t.Fields() {
			if f.IsExported() && f.Tag.Get("json") != "-" && hasSecret(f.Type, seen) {
				return true
			}
		}
	default:
	}
	return false
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
