package link

// keepBuffer is the size in bytes up to which a buffer is always kept.
const keepBuffer = 16 << 10

// outbox holds frames in order. Small ones are copied into one buffer, so that many are
// sent with one write; large ones are lent by the caller. It is not a queue.Ring,
// because it passes on bytes, not elements.
type outbox struct {
	buf  []byte
	lent []loan
	size int // bytes of all frames
	acks int // bytes of acknowledgements among them
	most int // the most bytes that buf had in a pass since the last trim
}

// loan is a lent frame, to be written after the first at bytes of the buffer.
type loan struct {
	at    int
	frame []byte
}

func (o *outbox) add(frame []byte) {
	o.buf = append(o.buf, frame...)
	o.size += len(frame)
}

// fill adds the frames that f appends.
func (o *outbox) fill(f func([]byte) []byte) {
	had := len(o.buf)
	o.buf = f(o.buf)
	o.size += len(o.buf) - had
}

func (o *outbox) lend(frame []byte) {
	o.lent = append(o.lent, loan{len(o.buf), frame})
	o.size += len(frame)
}

// each calls write with the bytes in order, in as few slices as possible.
func (o *outbox) each(write func([]byte) error) error {
	from := 0
	for _, l := range o.lent {
		if err := write(o.buf[from:l.at]); err != nil {
			return err
		}
		if err := write(l.frame); err != nil {
			return err
		}
		from = l.at
	}
	return write(o.buf[from:])
}

// reset empties the outbox and keeps its memory.
func (o *outbox) reset() {
	o.most = max(o.most, len(o.buf))
	o.buf = o.buf[:0]
	clear(o.lent) // release the frames
	o.lent = o.lent[:0]
	o.size, o.acks = 0, 0
}

// trim releases a large buffer that was hardly used since the last call, and
// reports whether a large one is left. A quiet connection then takes little
// memory, and a buffer need not grow again for each burst.
func (o *outbox) trim() (large bool) {
	if len(o.buf) == 0 && o.most < cap(o.buf)/4 && cap(o.buf) > keepBuffer {
		o.buf = nil
	}
	o.most = 0
	return cap(o.buf) > keepBuffer
}
