package redact

import (
	"encoding/binary"
	"regexp/syntax"
	"slices"
)

// automaton finds the end of every pattern in a text, byte by byte, with one table lookup
// per byte. It is a deterministic finite automaton; state 0 is the beginning of a text.
type automaton struct {
	class [256]uint8 // bytes of the same class are equivalent to all patterns
	width int        // number of classes
	next  []uint16   // the state after a state and a class
	ends  []writing  // for each state, the writings of the patterns that end there, or 0
	stays [256]bool  // the byte leads from state 0 to state 0
}

func (a *automaton) step(state uint16, c byte) uint16 {
	return a.next[int(state)*a.width+int(a.class[c])]
}

// pattern is an ASCII regular expression that matches the beginning of a key.
type pattern struct {
	expr string
	ends writing
}

// compile returns the automaton of the patterns, whose expressions must be valid. It
// determinizes all of them together.
func compile(patterns []pattern) *automaton {
	n := &nfa{}
	for _, p := range patterns {
		n.add(p)
	}
	return n.determinize()
}

// nfa holds the programs of all patterns, one after the other.
type nfa struct {
	insts  []syntax.Inst
	ends   []writing // for each instruction that matches
	starts []uint32
}

func (n *nfa) add(p pattern) {
	tree, err := syntax.Parse(p.expr, syntax.Perl)
	if err != nil {
		panic(err) // our own patterns are valid
	}
	prog, err := syntax.Compile(tree.Simplify())
	if err != nil {
		panic(err)
	}
	base := uint32(len(n.insts)) //nolint:gosec // a few thousand
	for _, in := range prog.Inst {
		in.Out += base
		if in.Op == syntax.InstAlt || in.Op == syntax.InstAltMatch {
			in.Arg += base
		}
		n.insts = append(n.insts, in)
		n.ends = append(n.ends, p.ends)
	}
	n.starts = append(n.starts, base+uint32(prog.Start)) //nolint:gosec // as above
}

// close adds pc to set, and everything reachable from there without a byte.
func (n *nfa) close(set []uint32, pc uint32) []uint32 {
	in := &n.insts[pc]
	switch in.Op {
	case syntax.InstAlt, syntax.InstAltMatch:
		return n.close(n.close(set, in.Out), in.Arg)
	case syntax.InstCapture, syntax.InstNop, syntax.InstEmptyWidth:
		return n.close(set, in.Out)
	case syntax.InstFail:
		return set
	case syntax.InstMatch, syntax.InstRune, syntax.InstRune1, syntax.InstRuneAny, syntax.InstRuneAnyNotNL:
		if !slices.Contains(set, pc) {
			set = append(set, pc)
		}
	}
	return set
}

// classes groups the bytes by the instructions that accept them.
func (n *nfa) classes() (class [256]uint8, examples []byte) {
	seen := map[string]uint8{}
	for c := range 256 {
		key := make([]byte, (len(n.insts)+7)/8)
		for pc := range n.insts {
			if n.takes(uint32(pc), byte(c)) {
				key[pc/8] |= 1 << (pc % 8)
			}
		}
		id, ok := seen[string(key)]
		if !ok {
			id = uint8(len(examples)) //nolint:gosec // at most 256, and those beyond ASCII are one
			seen[string(key)] = id
			examples = append(examples, byte(c))
		}
		class[c] = id
	}
	return class, examples
}

func (n *nfa) takes(pc uint32, c byte) bool {
	in := &n.insts[pc]
	return (in.Op == syntax.InstRune || in.Op == syntax.InstRune1) && c < 0x80 && in.MatchRune(rune(c))
}

// determinize creates a state for every set of positions that the patterns can be in at
// once. A pattern may begin anywhere, so the initial positions belong to every set and
// are left out of it.
func (n *nfa) determinize() *automaton {
	class, examples := n.classes()
	a := &automaton{class: class, width: len(examples)}
	var begin []uint32
	for _, pc := range n.starts {
		begin = n.close(begin, pc)
	}
	first := make([][]uint32, len(examples)) // from the initial positions
	for i, c := range examples {
		first[i] = n.after(begin, c, nil)
	}
	ids := map[string]uint16{"": 0}
	sets := [][]uint32{nil}
	for i := 0; i < len(sets); i++ {
		var ends writing
		for _, pc := range sets[i] {
			if n.insts[pc].Op == syntax.InstMatch {
				ends |= n.ends[pc]
			}
		}
		a.ends = append(a.ends, ends)
		for k, c := range examples {
			set := n.after(sets[i], c, slices.Clone(first[k]))
			slices.Sort(set)
			key := make([]byte, 0, 4*len(set))
			for _, pc := range set {
				key = binary.LittleEndian.AppendUint32(key, pc)
			}
			id, ok := ids[string(key)]
			if !ok {
				id = uint16(len(sets)) //nolint:gosec // a few thousand
				ids[string(key)] = id
				sets = append(sets, set)
			}
			a.next = append(a.next, id)
		}
	}
	for c := range a.stays {
		a.stays[c] = a.step(0, byte(c)) == 0
	}
	return a
}

// after adds to set the positions reached from those in from by byte c.
func (n *nfa) after(from []uint32, c byte, set []uint32) []uint32 {
	for _, pc := range from {
		if n.takes(pc, c) {
			set = n.close(set, n.insts[pc].Out)
		}
	}
	return set
}
