package message

import (
	"bytes"
	"math/rand/v2"
	"regexp"
	"strings"
	"testing"
)

// rules are those of hasMarkup, beginning at a "<".
var rules = regexp.MustCompile(`(?i)^<(?:` +
	`/?(?:html|head|body|script|style|iframe|frame|frameset|object|embed|applet|link|meta|base|title|template|` +
	`form|input|button|textarea|select|isindex|img|image|video|audio|source|picture|table|div|span|font|marquee|details|` +
	`svg|math|foreignobject|animate|handler|listener|noscript|plaintext|layer|portal)[\s/>]` +
	`|(?:[a-z]{1,16}:)script[\s/>]` +
	`|[a-z][a-z0-9-]{0,31}(?:[\s/]+[a-z-]{2,32}\s*=\s*["']|[\s/][\t\n\f\r -;=-~]*?\bon[a-z]{3,32}\s*=)` +
	`|!doctype\s|!entity\s|!element\s|!attlist\s|!\[cdata\[|!--[\t\n\r -~]{4}` +
	`|\?php|\?xml[\s-]|\?=[\t\n\r -~]{8}|%[\t\n\r -~]{14}` +
	`)`)

// obeysRules is hasMarkup, slowly.
func obeysRules(image []byte) bool {
	for i, c := range image {
		if c == '<' && rules.Match(image[i:min(len(image), i+1+maxTag)]) {
			return true
		}
	}
	return false
}

func TestHasMarkup_RandomText_AsByRules(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2)) // the same in every run
	one := func(of []string) string { return of[random.IntN(len(of))] }
	begin := append(strings.Fields(`< <a <a <a <p <x-1 <x_ </a <svg <SvG </svg <scripts <1 <! <!-- <!doctype <!entity <![cdata[ <? <?php <?xml <?xml- <?= <% <a:b
		<xhtml:script </xhtml:script <x:script <-:script <x1:script`),
		"<"+strings.Repeat("a", 16)+":script", "<"+strings.Repeat("a", 17)+":script", "<"+strings.Repeat("a", 32), "<"+strings.Repeat("a", 33))
	names := append(strings.Fields("a ab a-b x1 style on onx onab onabc ONfocus onclick1 1onclick _onclick donclick data-onclick"),
		strings.Repeat("b", 32), strings.Repeat("b", 33), "on"+strings.Repeat("c", 32), "on"+strings.Repeat("c", 33))
	gaps := []string{"", "", "", " ", " ", "/", ">", "\t", "\n", "\f", "\r", "\v", " \n", "\x00", "\xff", "é", "<", ".", strings.Repeat(" ", 500)}
	ends := []string{"=", "=", "= ", "=\"", "='", " = '", "==", "_=", "-", "", ">", "/="}
	found := 0
	for range 100_000 {
		text := one(begin) + one(gaps)
		for range random.IntN(4) {
			text += one(names) + one(gaps) + one(ends) + one(gaps)
		}
		want := obeysRules([]byte(text))
		if want {
			found++
		}
		if got := hasMarkup([]byte(text)); got != want {
			t.Fatalf("%q: got %t, want %t", text, got, want)
		}
	}
	if found < 10_000 || found > 90_000 {
		t.Errorf("got %d texts with markup of 100,000, want many of both kinds", found)
	}
}

func TestHasMarkup_PageOrScriptInAnImage_Found(t *testing.T) {
	for _, text := range []string{
		"<html>", "<HTML lang=en>", "<head>", "<body onload=x>", "<script>", "<script src=//x>", "<ScRiPt/x>", "</script>", "<style>", "<iframe src=x>",
		"<object data=x>", "<embed src=x>", "<link rel=x>", "<meta http-equiv=x>", "<base href=x>", "<title>x", "<form action=x>", "<img src=x onerror=alert(1)>",
		"<image href=x>", "<video src=x>", "<audio src=x>", "<table background=x>", "<div style=x>", "<svg>", "<svg/onload=alert(1)>", "<SVG\nxmlns=x>",
		"<math>", "<foreignObject>", "<animate attributeName=x>", "<template>", "<noscript>", "<x onfocus=alert(1) tabindex=1>", "<a href=\"javascript:x\">",
		"<a/b/onclick=x>", "<a" + strings.Repeat(" ", 900) + "onclick=x>", "<p id='x'>", "<custom-element id='b'>", "<xhtml:script>", "<svg:script >", "<!DOCTYPE html>", "<!doctype svg>", "<!ENTITY x SYSTEM>",
		"<![CDATA[x]]>", "<!-- x -->", "<?php phpinfo();", "<?PHP\n", "<?xml version=\"1.0\"?>", "<?xml-stylesheet href=x?>", "<?= system('id') ?>", "<% eval request %>", "<%@ page import=x %>",
	} {
		for _, at := range []int{0, 1, 4000} {
			b := bytes.Repeat([]byte{0x00, '<', 0xff, '<', '<'}, 800)
			b = append(append(append([]byte("\x89PNG\r\n\x1a\n"), b[:at]...), text...), b...)
			if !hasMarkup(b) {
				t.Errorf("%q at %d: not found", text, at)
			}
		}
	}
}

// BenchmarkHasMarkup compares images that keep the search busy with one of plain text. An
// image must not cost a visitor's neighbours much more than its size.
func BenchmarkHasMarkup(b *testing.B) {
	const size = 256 << 10
	for name, unit := range map[string]string{
		"text": strings.Repeat("x", 1024), "spaces": "<a" + strings.Repeat(" ", 1021), "short": "<a" + strings.Repeat(" ", 253),
		"handlers": "<a" + strings.Repeat(" on", 340), "attributes": "<a " + strings.Repeat("a ", 510), "tags": "<a ", "values": "<a =", "almost": "<a on=", "declarations": "<!-",
	} {
		b.Run(name, func(b *testing.B) {
			image := bytes.Repeat([]byte(unit), size/len(unit))
			b.SetBytes(size)
			for b.Loop() {
				hasMarkup(image)
			}
		})
	}
}

// An ordinary photo must be accepted, whatever its bytes are.
func TestHasMarkup_OrdinaryImage_NotFound(t *testing.T) {
	const xmp = `<?xpacket begin="" id="W5M0MpCehiHzreSzNTczkc9d"?><x:xmpmeta xmlns:x="adobe:ns:meta/" x:xmptk="XMP Core 5.4.0">` +
		`<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description rdf:about="" xmlns:xmp="http://ns.adobe.com/xap/1.0/" xmp:CreatorTool="Camera">` +
		`<dc:title><rdf:Alt><rdf:li xml:lang="x-default">a &lt; b</rdf:li></rdf:Alt></dc:title></rdf:Description></rdf:RDF></x:xmpmeta><?xpacket end="w"?>`
	for _, text := range []string{"", "<", "<<", "a < b > c", "1<2", "<3", "<b", "<scripted", "<htm", "<?", "<%", "<!", "<!-", "if (a<b) {", xmp} {
		if hasMarkup([]byte("\xff\xd8\xff" + text + "\x00\x01")) {
			t.Errorf("%q: taken for markup", text)
		}
	}
}
