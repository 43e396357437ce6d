package redact

import (
	"encoding/base32"
	"encoding/base64"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// Keys may appear verbatim, or as a program prints or escapes them. Text that begins with
// afm_ is recognized in every writing that encodes characters one by one. In codes that
// encode several characters at a time, such as base64, only the beginning of our own key
// is recognized.

// writing is how a key is written, which determines how it continues. As long as it is
// ambiguous, a key may have several writings at once.
type writing uint8

const (
	plain  writing = 1 << iota // its characters, or escapes of them
	coded                      // base64 and the like, which may continue on the next line
	spaced                     // numbers, with separators between them
)

// anyKey is the prefix of AnyFrame's keys.
const anyKey = "afm_"

// maxHead is the maximum number of characters shown of a key that is not AnyFrame's.
const maxHead = 16

// patternsOf returns the patterns of AnyFrame's keys and of our own.
func patternsOf(own string) []pattern {
	all := append(escaped(anyKey, plain), numbers(anyKey)...)
	if len(own) < 8 && own != anyKey {
		return all
	}
	head := own[:min(len(anyKey)+2, len(own))] // the prefix of all keys, and enough to identify ours
	if !strings.HasPrefix(own, anyKey) {
		head = own[:min(len(own)/2, maxHead)]
		all = append(append(all, escaped(head, plain|coded)...), numbers(head)...)
	}
	for _, text := range encodings(head) {
		all = append(all, pattern{regexp.QuoteMeta(text), coded})
	}
	return all
}

// entities are the HTML names of characters that occur in keys.
var entities = map[byte]string{'_': "lowbar|UnderBar", '-': "hyphen|dash"}

// hexOf returns an expression for a byte as hexadecimal digits of either case.
func hexOf(c byte) string {
	var b strings.Builder
	for _, digit := range fmt.Sprintf("%02x", c) {
		if digit >= 'a' {
			fmt.Fprintf(&b, "[%c%c]", digit, digit-'a'+'A')
		} else {
			b.WriteRune(digit)
		}
	}
	return b.String()
}

// escaped returns patterns of a text in which each character is verbatim or escaped: for
// Markdown, HTML, a URL, a mail, or a string literal.
func escaped(text string, ends writing) []pattern {
	var b strings.Builder
	for i := range len(text) {
		c, hex := text[i], hexOf(text[i])
		forms := []string{
			regexp.QuoteMeta(string(c)),
			`&(?:amp;)*#0*` + fmt.Sprint(c) + `;?`, `&(?:amp;)*#[xX]0*` + hex + `;?`,
			`%(?:25)*` + hex, `=` + hex,
			`\\+[xuU]\{?0*` + hex + `\}?`, `\\+o?\{?0*` + fmt.Sprintf("%o", c) + `\}?`,
		}
		if !isAlphanumeric(c) {
			forms = append(forms, `\\+`+regexp.QuoteMeta(string(c)))
		}
		if names, ok := entities[c]; ok {
			forms = append(forms, `&(?:amp;)*(?:`+names+`);?`)
		}
		if i > 0 {
			b.WriteString(`(?:=\r?\n)?`) // a soft line break in a mail
		}
		b.WriteString(`(?:` + strings.Join(forms, "|") + `)`)
	}
	return []pattern{{b.String(), ends}}
}

const (
	between = `(?:[ \t\r\n:,;.|"'\[\](){}+-]|\\+[nrt])` // separators between numbers
	anyByte = `[0-9A-Fa-f][0-9A-Fa-f]`
)

// numbers returns patterns of a text in which each character is its number. The numbers
// may be in hexadecimal digits, with or without separators, also as little-endian words
// of two bytes; in octal or decimal digits; or in bits.
func numbers(text string) []pattern {
	var hex, octal, decimal, bits []string
	for i := range len(text) {
		c := text[i]
		hex = append(hex, `(?:0[xX]|\\+[xuU]0*|%|U\+0*)?`+hexOf(c))
		octal = append(octal, `0*o?`+fmt.Sprintf("%o", c))
		decimal = append(decimal, fmt.Sprintf("0*%d", c))
		bits = append(bits, fmt.Sprintf("(?:0b)?%08b", c))
	}
	all := []string{
		strings.Join(hex, between+"*"), strings.Join(bits, between+"*"),
		strings.Join(octal, between+"+"), strings.Join(decimal, between+"+"),
		strings.Join(swapped(text), between+"*"), // the text begins with the first byte of a word
		hexOf(text[0]) + anyByte + between + "*" + strings.Join(swapped(text[1:]), between+"*"),
	}
	patterns := make([]pattern, 0, len(all))
	for _, expr := range all {
		patterns = append(patterns, pattern{expr, spaced})
	}
	return patterns
}

// swapped returns the text as words of two bytes, the second byte of each word first. The
// second byte of the last word may be any.
func swapped(text string) (words []string) {
	for i := 0; i < len(text); i += 2 {
		second := anyByte
		if i+1 < len(text) {
			second = hexOf(text[i+1])
		}
		words = append(words, second+hexOf(text[i]))
	}
	return words
}

// encodings returns the codes of a text inside encoded data, in encodings of several
// characters at a time. They depend on the text's offset in the data.
func encodings(text string) []string {
	var all []string
	for before := range 3 {
		code := base64.RawStdEncoding.EncodeToString([]byte("\x00\x00"[:before] + text))
		code = code[(before*8+5)/6 : (before+len(text))*8/6] // the characters that depend on the text alone
		all = append(all, code, strings.NewReplacer("+", "-", "/", "_").Replace(code))
	}
	for before := range 5 {
		code := base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString([]byte("\x00\x00\x00\x00"[:before] + text))
		code = code[(before*8+4)/5 : (before+len(text))*8/5]
		all = append(all, code, strings.ToLower(code))
	}
	slices.Sort(all)
	return slices.Compact(all)
}
