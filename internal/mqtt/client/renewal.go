package client

import (
	"context"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/session"
)

// beforeEnd is how long before the end of its certificate a connection is renewed
// although the broker keeps nothing of its session.
const beforeEnd = time.Minute

// renewal renews the connections of a run when credentials or certificates change:
// at once where the broker keeps the session, so that nothing is lost. A clean session
// would miss what is published meanwhile, so it is renewed by the next loss, or in the
// last minute of its certificate.
type renewal struct {
	certificates *certificates // nil without files
	password     *passwordFile // nil without
	sessions     func() []*session.Session
}

// watch looks for new files until ctx ends.
func (r *renewal) watch(ctx context.Context) {
	tick := time.NewTicker(filesInterval)
	defer tick.Stop()
	old := make(map[*session.Session]bool) // clean ones that have the old certificate
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		changed := r.certificates != nil && r.certificates.look(ctx)
		if r.password != nil && r.password.look() || changed {
			for _, s := range r.renew() {
				old[s] = true
			}
		}
		for s := range old {
			if end := s.Certificates().Client; !end.IsZero() && time.Until(end) < beforeEnd {
				s.Renew()
				delete(old, s)
			}
		}
	}
}

// renew renews the kept sessions and returns the clean ones. Those that are not connected
// make their next attempt at once.
func (r *renewal) renew() (clean []*session.Session) {
	for _, s := range r.sessions() {
		switch {
		case !s.Started():
		case s.IsKept():
			s.Renew()
		default:
			s.Hurry()
			clean = append(clean, s)
		}
	}
	return clean
}
