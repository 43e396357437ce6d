package anyframetest

import (
	"strconv"
)

// event adds one event to the output, changed as the fault requires.
func (st *stream) event(it item) outcome {
	st.events++
	here := st.events == st.fault.N
	switch {
	case st.fault.Kind == Drop && here:
	case st.fault.Kind == Swap && here:
		st.held = frame(nil, it, it.payload)
	case st.fault.Kind == Garble && here:
		st.buf = frame(st.buf, it, it.payload[:len(it.payload)/2])
	default:
		st.buf = frame(st.buf, it, it.payload)
		st.buf = append(st.buf, st.held...)
		st.held = nil
	}
	return st.reached()
}

// frame appends one frame to buf.
func frame(buf []byte, it item, data []byte) []byte {
	if it.numbered {
		buf = append(buf, "id: "...)
		buf = strconv.AppendInt(buf, it.seq, 10)
		buf = append(buf, '\n')
	}
	if it.name != unnamed {
		buf = append(buf, "event: "...)
		buf = append(buf, eventNames[it.name]...)
		buf = append(buf, '\n')
	}
	buf = append(buf, "data: "...)
	buf = append(buf, data...)
	return append(buf, "\n\n"...)
}

// reached applies the fault that follows the events so far.
func (st *stream) reached() outcome {
	if st.events != st.fault.N {
		return goOn
	}
	if data, found := inserted[st.fault.Kind]; found {
		if st.fault.Body != "" {
			data = st.fault.Body
		}
		st.buf = frame(st.buf, item{}, []byte(data))
		return goOn
	}
	then := goOn
	switch k := st.fault.Kind; {
	case k == CutAfterEvents, k == CutAfterBytes && st.fault.N == 0:
		then = cut
	case k == EndAfterEvents:
		then = end
	case k == StallAfterEvents:
		then = stall
	}
	if then != goOn {
		if o := st.flush(); o != goOn {
			return o
		}
	}
	return then
}

// last sends the frame that is still held back at the end of the log.
func (st *stream) last() outcome {
	st.buf = append(st.buf, st.held...)
	st.held = nil
	if o := st.flush(); o != goOn {
		return o
	}
	return end
}
