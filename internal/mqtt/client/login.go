package client

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/logsafe"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/session"
)

// login is what CONNECT carries where nothing asks for credentials.
type login struct{ username, password string }

// logins are the configured login and the one before it. A broker may get to know a new
// password earlier or later than we do, so the one that is refused makes room for the
// other. Safe for concurrent use.
type logins struct {
	log logsafe.Logger

	mu          sync.Mutex
	now, before login
	two         bool      // before is set
	refused     time.Time // when now was refused; zero if it was not
	told        bool      // that it was refused, and not accepted since
}

// set takes a new login into use and reports whether it differs.
func (l *logins) set(now login) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if now == l.now {
		return false
	}
	if !l.told { // otherwise the one before is still the last that was accepted
		l.before, l.two = l.now, true
	}
	l.now, l.refused, l.told = now, time.Time{}, false
	return true
}

// current returns the login that was set last.
func (l *logins) current() login {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.now
}

// use returns the login of the next connection.
func (l *logins) use() login {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.two && !l.refused.IsZero() && time.Since(l.refused) < filesPause {
		return l.before
	}
	return l.now
}

// reject notes that the broker refused a login, for the n-th time in a row, and reports
// whether the other one should be tried at once.
func (l *logins) reject(used login, err error, n int) (again bool) {
	l.mu.Lock()
	tell := false
	switch {
	case !l.two:
		l.mu.Unlock()
		return false
	case used == l.now:
		l.refused = time.Now()
		l.told, tell = true, !l.told
	default:
		l.refused = time.Time{}
	}
	l.mu.Unlock()
	if tell {
		l.log.Error("mqtt: the broker refuses the new login, the old one stays in use where the broker takes it", logsafe.KeyError, logsafe.Error(err))
	}
	return n%2 == 1
}

// accept notes that the broker took a login. If it had refused it before, that is logged: a
// rotation ends there.
func (l *logins) accept(used login) {
	l.mu.Lock()
	tell := l.told && used == l.now
	if tell {
		l.refused, l.told = time.Time{}, false
	}
	l.mu.Unlock()
	if tell {
		l.log.Info("mqtt: the broker takes the new login")
	}
}

// connect has the connections of a session use the logins.
func (l *logins) connect(s *session.Config) {
	used := new(atomic.Pointer[login])
	s.Credentials = func(context.Context) (string, string, error) {
		now := l.use()
		used.Store(&now)
		return now.username, now.password, nil
	}
	s.Refused = func(err error, n int) bool {
		return l.reject(*used.Load(), err, n)
	}
	s.Accepted = func() { l.accept(*used.Load()) }
}
