package control

import (
	"crypto/sha256"
	"encoding/hex"
	"net/netip"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/anyframe-relay/relay/relay/internal/problem"
)

// Pause means that no new turns and sandboxes are started.
type Pause struct {
	Text  string    `json:"text"` // shown to visitors
	Since time.Time `json:"since"`
	By    string    `json:"by"`   // the name of the operator's token
	Stop  bool      `json:"stop"` // running turns are stopped too
}

// Banner is a line that every widget shows.
type Banner struct {
	Text  string    `json:"text"`
	Since time.Time `json:"since"`
	By    string    `json:"by"`
}

// Block refuses a visitor or an address for some time.
type Block struct {
	Subject string    `json:"subject"` // a visitor's hash, an address or a CIDR
	Since   time.Time `json:"since"`
	Until   time.Time `json:"until"`
	By      string    `json:"by"`
}

// State is an immutable set of decisions; nil is no decisions.
type State struct {
	pause    *Pause
	banner   *Banner
	blocks   []Block // by subject
	visitors map[string]time.Time
	prefixes map[netip.Prefix]time.Time
	lengths  []int // the distinct lengths of prefixes
}

// Pause returns the pause, or nil.
func (s *State) Pause() *Pause {
	if s == nil {
		return nil
	}
	return s.pause
}

// Banner returns the banner, or nil.
func (s *State) Banner() *Banner {
	if s == nil {
		return nil
	}
	return s.banner
}

// Notice returns the banner's text, or "".
func (s *State) Notice() string {
	if b := s.Banner(); b != nil {
		return b.Text
	}
	return ""
}

// Blocks returns the blocks that have not expired.
func (s *State) Blocks() []Block {
	out := []Block{}
	if s == nil {
		return out
	}
	for _, b := range s.blocks {
		if time.Now().Before(b.Until) {
			out = append(out, b)
		}
	}
	return out
}

// Paused returns the refusal of new turns during a pause, else nil.
func (s *State) Paused() error {
	p := s.Pause()
	if p == nil {
		return nil
	}
	return problem.Paused.With("%s", p.Text)
}

// BlockedVisitor returns the refusal of a blocked visitor, else nil.
func (s *State) BlockedVisitor(id string) error {
	if s == nil || len(s.visitors) == 0 {
		return nil
	}
	return refusal(s.visitors[VisitorHash(id)])
}

// BlockedAddr returns the refusal of a blocked address, else nil. The address is in the
// form of package clientip: an IPv6 address is its /64.
func (s *State) BlockedAddr(addr string) error {
	if s == nil || len(s.prefixes) == 0 {
		return nil
	}
	ip, err := netip.ParseAddr(addr)
	if err != nil {
		return nil
	}
	ip = ip.Unmap().WithZone("")
	for _, n := range s.lengths {
		if n > ip.BitLen() {
			continue
		}
		if p, err := ip.Prefix(n); err == nil {
			if err := refusal(s.prefixes[p]); err != nil {
				return err
			}
		}
	}
	return nil
}

func refusal(until time.Time) error {
	if left := time.Until(until); left > 0 {
		return problem.Blocked.After(left)
	}
	return nil
}

// hashDigits is the length of a visitor's hash. Its first eight digits identify the
// visitor in logs.
const hashDigits = 16

// VisitorHash returns the id by which operators refer to a visitor.
func VisitorHash(id string) string {
	sum := sha256.Sum256([]byte(id))
	return hex.EncodeToString(sum[:hashDigits/2])
}

// Subject returns the canonical form of a subject that can be blocked: a visitor's hash,
// an address or a CIDR. An IPv6 address, or a longer CIDR, becomes its /64, which is what
// one household has.
func Subject(s string) (subject string, ok bool) {
	if isHash(s) {
		return strings.ToLower(s), true
	}
	p, err := netip.ParsePrefix(s)
	if err != nil {
		ip, err := netip.ParseAddr(s)
		if err != nil || ip.Zone() != "" {
			return "", false
		}
		p = netip.PrefixFrom(ip, ip.BitLen())
	}
	if p.Addr().Is4In6() {
		if p.Bits() < 96 {
			return "", false
		}
		p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
	}
	if p.Addr().Is6() && p.Bits() > 64 {
		p = netip.PrefixFrom(p.Addr(), 64)
	}
	if p = p.Masked(); p.Addr().Is4() && p.IsSingleIP() {
		return p.Addr().String(), true
	}
	return p.String(), true
}

func isHash(s string) bool {
	_, err := hex.DecodeString(s)
	return err == nil && len(s) == hashDigits
}

// newState builds a State. Subjects are in canonical form.
func newState(pause *Pause, banner *Banner, blocks []Block) *State {
	s := &State{pause: pause, banner: banner, blocks: blocks, visitors: map[string]time.Time{}, prefixes: map[netip.Prefix]time.Time{}}
	lengths := map[int]bool{}
	for _, b := range blocks {
		if isHash(b.Subject) {
			s.visitors[b.Subject] = b.Until
			continue
		}
		p, err := netip.ParsePrefix(b.Subject)
		if err != nil {
			ip, err := netip.ParseAddr(b.Subject)
			if err != nil {
				continue // from a newer relay
			}
			p = netip.PrefixFrom(ip, ip.BitLen())
		}
		s.prefixes[p] = b.Until
		if !lengths[p.Bits()] {
			lengths[p.Bits()] = true
			s.lengths = append(s.lengths, p.Bits())
		}
	}
	return s
}

// MaxText is the maximum length of a pause's or a banner's text in Unicode code points.
const MaxText = 500

// ValidText reports whether a text can be shown to visitors: one line that is not empty
// and not longer than [MaxText].
func ValidText(s string) bool {
	return strings.TrimSpace(s) != "" && utf8.ValidString(s) && utf8.RuneCountInString(s) <= MaxText &&
		!strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f })
}
