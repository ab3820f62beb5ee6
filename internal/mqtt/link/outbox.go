package link

// keepBuffer is the size in bytes up to which a buffer is always kept.
const keepBuffer = 16 << 10

// maxSlack is the number of consecutive passes for which a larger buffer is
// kept although it is nearly empty.
const maxSlack = 64

// outbox holds frames in order. Small ones are copied into one buffer, so that
// many are sent with one write; large ones are lent by the caller.
type outbox struct {
	buf   []byte
	lent  []loan
	size  int // bytes of all frames
	acks  int // bytes of acknowledgements among them
	slack int // consecutive passes that hardly used buf
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
	o.recycle()
	clear(o.lent) // release the frames
	o.lent = o.lent[:0]
	o.size, o.acks = 0, 0
}

// recycle empties the buffer for its next use. It releases a large one only
// after many nearly empty passes: a quiet connection then takes little memory,
// and a buffer need not grow again for each burst.
func (o *outbox) recycle() {
	if used := len(o.buf); cap(o.buf) <= keepBuffer || used >= cap(o.buf)/4 {
		o.slack = 0
	} else if o.slack++; o.slack > maxSlack {
		o.buf, o.slack = nil, 0
	}
	o.buf = o.buf[:0]
}
