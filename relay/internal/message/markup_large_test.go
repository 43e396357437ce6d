//go:build !race

package message

import (
	"bytes"
	"image"
	"image/jpeg"
	"image/png"
	"math/rand/v2"
	"testing"
)

// Whatever the bytes of a photo are.
func TestHasMarkup_LargeImagesOfNoise_NotFound(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2)) // the same in every run
	for i := range 12 {
		m := image.NewNRGBA(image.Rect(0, 0, 512, 512))
		for j := range m.Pix {
			m.Pix[j] = byte(random.Uint32())
		}
		var asPNG, asJPEG bytes.Buffer
		if err := png.Encode(&asPNG, m); err != nil {
			t.Fatal(err)
		}
		if err := jpeg.Encode(&asJPEG, m, nil); err != nil {
			t.Fatal(err)
		}
		for kind, b := range map[string][]byte{"PNG": asPNG.Bytes(), "JPEG": asJPEG.Bytes()} {
			if hasMarkup(b) {
				t.Errorf("%s %d of noise, %d bytes: taken for markup", kind, i, len(b))
			}
		}
	}
}
