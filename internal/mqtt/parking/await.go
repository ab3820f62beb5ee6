package parking

// turn names what a task of a backlog handles: a key, or one message without a key.
type turn struct{ key, id string }

// turn returns the turn of a key. The caller holds the mutex of its backlog.
func (k *parkedKey) turn() turn {
	if k.name == "" && len(k.ids) > 0 {
		return turn{id: k.ids[0]}
	}
	return turn{key: k.name}
}

// await has what a closed backlog is still handling wait here until that has ended, so
// that no message is handled twice at a time, or before an older one of its key.
func (l *Backlog) await(from *Backlog) {
	from.mu.Lock()
	defer from.mu.Unlock()
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.awaited == nil {
		l.awaited = make(map[turn]struct{})
	}
	for t := range from.awaited {
		l.awaited[t] = struct{}{}
	}
	from.heir = l
	for _, k := range from.keys {
		if k.running {
			l.awaited[k.began] = struct{}{}
		}
	}
	for k := range from.unkeyed {
		if k.running {
			l.awaited[k.began] = struct{}{}
		}
	}
}

// awaits reports whether a key waits for a backlog before this one. The caller holds the
// mutex.
func (l *Backlog) awaits(k *parkedKey) bool {
	_, waits := l.awaited[k.turn()]
	return waits
}

// end notes that the task of a key has ended.
func (l *Backlog) end(k *parkedKey) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !k.running {
		return
	}
	k.running = false
	if l.heir != nil {
		l.heir.goOn(k.began)
	}
}

// goOn schedules what waited for a backlog before this one.
func (l *Backlog) goOn(t turn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, waits := l.awaited[t]; !waits {
		return
	}
	delete(l.awaited, t)
	if l.heir != nil {
		l.heir.goOn(t)
	}
	if k := l.keys[t.key]; k != nil {
		l.schedule(k, 0)
	}
	for k := range l.unkeyed {
		if t.key == "" && k.turn() == t {
			l.schedule(k, 0)
		}
	}
}
