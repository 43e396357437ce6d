package origin

import (
	"strings"
	"testing"
)

func FuzzOriginSetting(f *testing.F) {
	for _, o := range []string{"https://shop.example", "https://*.shop.example", "*", "https://[::1]:80", "https://a b", "https://a;x", "https://*", "null"} {
		f.Add(o)
	}
	f.Fuzz(func(t *testing.T, o string) {
		if ValidPattern(o) && strings.ContainsAny(o, " ;,'\"\\\r\n\t<>") {
			t.Errorf("%q: taken, want it refused: it goes into headers", o)
		}
	})
}
