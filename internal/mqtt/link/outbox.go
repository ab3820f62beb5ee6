package link

// keepBuffer is the largest buffer in bytes that is kept whatever its use.
const keepBuffer = 16 << 10

// maxSlack is how many passes a larger one may stay nearly empty.
const maxSlack = 64

// outbox holds frames in order: small ones copied into one buffer, so that
// many leave in one write, and large ones lent by the caller between them.
type outbox struct {
	buf   []byte
	lent  []loan
	size  int // bytes of all frames
	acks  int // those of them that are acknowledgements
	slack int // passes in a row that hardly used buf
}

// loan is a frame to be written after the first at bytes of the buffer.
type loan struct {
	at    int
	frame []byte
}

func (o *outbox) add(frame []byte) {
	o.buf = append(o.buf, frame...)
	o.size += len(frame)
}

// fill appends what f appends.
func (o *outbox) fill(f func([]byte) []byte) {
	had := len(o.buf)
	o.buf = f(o.buf)
	o.size += len(o.buf) - had
}

func (o *outbox) lend(frame []byte) {
	o.lent = append(o.lent, loan{len(o.buf), frame})
	o.size += len(frame)
}

// each returns the bytes in order, in as few slices as possible.
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
	clear(o.lent) // let go of the frames
	o.lent = o.lent[:0]
	o.size, o.acks = 0, 0
}

// recycle empties the buffer for its next use. One that stayed nearly empty for
// many passes is let go of, so that a connection that has become quiet is
// small: doing so at once would have it grow again in the next burst.
func (o *outbox) recycle() {
	if used := len(o.buf); cap(o.buf) <= keepBuffer || used >= cap(o.buf)/4 {
		o.slack = 0
	} else if o.slack++; o.slack > maxSlack {
		o.buf, o.slack = nil, 0
	}
	o.buf = o.buf[:0]
}
