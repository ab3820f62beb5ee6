package broker

// state of a delivery at QoS 1 or 2.
type state byte

const (
	queued    state = iota // never sent
	published              // sent, not acknowledged
	released               // QoS 2: PUBREC received, PUBREL sent
	done                   // finished, to be taken off the window
)

// delivery is one message to be delivered to one session.
type delivery struct {
	msg        *message
	ids        []uint32 // subscription identifiers
	group      *group   // the shared group it came through, nil for none
	connection int      // number of the connection that last carried it
	id         uint16
	qos        byte
	retain     bool
	state      state
	number     uint64 // in the journal, 0 for none
}

// window holds the deliveries of a session in the order in which they were first sent; those
// in flight come before those that wait.
type window struct {
	list     []*delivery
	head     int // first that is not done
	next     int // first that this connection has not carried
	byID     map[uint16]*delivery
	lastID   uint16
	open     int // not done
	bytes    int // of the messages that are not done
	inflight int // carried by this connection, not done
}

func newWindow() window { return window{byID: make(map[uint16]*delivery)} }

func (w *window) add(d *delivery) {
	w.list = append(w.list, d)
	w.open++
	w.bytes += d.msg.size()
}

// rewind makes the next connection send everything again.
func (w *window) rewind() { w.next, w.inflight = w.head, 0 }

// peek returns the next delivery that this connection has to send.
func (w *window) peek() *delivery {
	for ; w.next < len(w.list); w.next++ {
		if d := w.list[w.next]; d.state != done {
			return d
		}
	}
	w.trim()
	return nil
}

// carry records that the delivery of peek was sent on a connection.
func (w *window) carry(d *delivery, connection int) {
	w.next++
	w.inflight++
	d.connection = connection
	if d.state == queued {
		d.state = published
	}
}

// identify returns an unused packet identifier. All identifiers are used in turn before one is
// reused.
func (w *window) identify(d *delivery) {
	for {
		w.lastID++
		if _, used := w.byID[w.lastID]; !used && w.lastID != 0 {
			break
		}
	}
	d.id = w.lastID
	w.byID[d.id] = d
}

// finish ends a delivery; connection is the current connection of the session.
func (w *window) finish(d *delivery, connection int) {
	if d.connection == connection && d.state != queued {
		w.inflight--
	}
	if d.id != 0 && w.byID[d.id] == d {
		delete(w.byID, d.id)
	}
	w.bytes -= d.msg.size()
	d.state, d.msg = done, nil
	w.open--
	w.trim()
}

func (w *window) trim() {
	for w.head < len(w.list) && w.list[w.head].state == done {
		w.list[w.head] = nil
		w.head++
	}
	w.next = max(w.next, w.head)
	if w.head > 1024 && w.head*2 > len(w.list) {
		n := copy(w.list, w.list[w.head:])
		clear(w.list[n:])
		w.list = w.list[:n]
		w.next -= w.head
		w.head = 0
	}
}

// each visits the unfinished deliveries in order.
func (w *window) each(visit func(*delivery)) {
	for _, d := range w.list[w.head:] {
		if d.state != done {
			visit(d)
		}
	}
}
