package broker

// recorder appends changes to the journal. It does nothing without a journal. The core's
// mutex guards it.
type recorder struct {
	journal    *journal // nil while the broker is stopped, and without a file
	numbers    uint64   // last number that was assigned
	generation uint32   // of the journal's file, see [message]
	tallies    uint32   // how often the state was measured, see [recorder.live]
	measured   int64    // last result of live
}

// name assigns a number unless one is assigned.
func (r *recorder) name(number *uint64) {
	if *number == 0 {
		r.numbers++
		*number = r.numbers
	}
}

func (r *recorder) note(t recordType, numbers ...uint64) {
	if r.journal != nil {
		r.journal.append(func(p []byte) []byte { return appendNumber(p, t, numbers...) })
	}
}

// session records a session that outlives its connection, with its current expiry and
// connection.
func (r *recorder) session(s *session) {
	if r.journal == nil || (s.expiry == 0 && s.number == 0) {
		return
	}
	r.name(&s.number)
	r.journal.append(s.appendRecord)
}

func (r *recorder) ended(s *session) {
	if s.number != 0 {
		r.note(recordEnd, s.number)
		s.number = 0
	}
}

func (r *recorder) subscribed(sub *subscription) {
	if sub.session.number != 0 && r.journal != nil {
		r.journal.append(sub.appendRecord)
	}
}

func (r *recorder) unsubscribed(sub *subscription) {
	if s := sub.session; s.number != 0 && r.journal != nil {
		r.journal.append(func(b []byte) []byte {
			return appendString(appendNumber(b, recordUnsubscribe, s.number), sub.filter)
		})
	}
}

// appendMessage encodes a message unless the current file contains it.
func (r *recorder) appendMessage(p []byte, m *message) []byte {
	if m.generation == r.generation {
		return p
	}
	m.generation = r.generation
	r.name(&m.number)
	var expires uint64
	if !m.expires.IsZero() {
		expires = uint64(m.expires.UnixNano())
	}
	p = appendNumber(p, recordMessage, m.number, expires, uint64(m.expiry), flagsOf(m.qos, m.retain))
	p = appendString(p, m.topic)
	p = appendString(p, m.from)
	p = appendString(p, m.props)
	return appendString(p, m.payload)
}

// queued records a delivery, if its session is recorded.
func (r *recorder) queued(s *session, d *delivery) {
	if s.number == 0 || r.journal == nil {
		return
	}
	r.name(&d.number)
	r.journal.append(func(b []byte) []byte { return s.appendQueued(r.appendMessage(b, d.msg), d) })
}

// state records the new state of a delivery.
func (r *recorder) state(d *delivery) {
	switch {
	case d.number == 0:
	case d.state == done:
		r.note(recordDone, d.number)
	default:
		r.note(recordSent, d.number, uint64(d.id), uint64(d.state))
	}
}

// received records that a QoS 2 message of the client was received or released.
func (r *recorder) received(s *session, t recordType, id uint16) {
	if s.number != 0 {
		r.note(t, s.number, uint64(id))
	}
}

func (r *recorder) retained(m *message) {
	if r.journal == nil {
		return
	}
	r.journal.append(func(p []byte) []byte {
		if len(m.payload) == 0 {
			return appendString(appendNumber(p, recordForget), m.topic)
		}
		return appendNumber(r.appendMessage(p, m), recordRetain, m.number)
	})
}

// live returns about how many bytes [recorder.frames] would return. Each message
// counts once, however many sessions it waits for.
func (r *recorder) live(sessions map[string]*session, retained map[string]*message) (n int64) {
	r.tallies++
	count := func(m *message) {
		if m.tallied != r.tallies {
			m.tallied = r.tallies
			n += int64(len(m.topic) + len(m.from) + len(m.props) + len(m.payload) + recordOverhead)
		}
	}
	for _, m := range retained {
		count(m)
	}
	for _, s := range sessions {
		if s.expiry != 0 {
			s.out.each(func(d *delivery) {
				n += recordOverhead
				count(d.msg)
			})
		}
	}
	r.measured = n
	return n
}

// recordOverhead is about the size of a record without its texts.
const recordOverhead = 16

// frames encodes the whole state for a new file. Messages that are referred to later are
// encoded again, so that further records are valid in both the current and the new file.
func (r *recorder) frames(sessions map[string]*session, retained map[string]*message) []byte {
	r.generation++
	defer func() { r.generation++ }()
	w := &frameWriter{b: make([]byte, 0, r.measured+r.measured/8)}
	for _, m := range retained {
		w.add(func(p []byte) []byte { return appendNumber(r.appendMessage(p, m), recordRetain, m.number) })
	}
	for _, s := range sessions {
		if s.expiry != 0 {
			r.name(&s.number)
			r.addSession(w, s)
		}
	}
	return w.end()
}

func (r *recorder) addSession(w *frameWriter, s *session) {
	w.add(s.appendRecord)
	for _, sub := range s.subs {
		w.add(sub.appendRecord)
	}
	for id := range s.received {
		w.add(func(p []byte) []byte { return appendNumber(p, recordReceived, s.number, uint64(id)) })
	}
	s.out.each(func(d *delivery) {
		r.name(&d.number)
		w.add(func(p []byte) []byte {
			p = s.appendQueued(r.appendMessage(p, d.msg), d)
			if d.state != queued {
				p = appendNumber(p, recordSent, d.number, uint64(d.id), uint64(d.state))
			}
			return p
		})
	})
}
