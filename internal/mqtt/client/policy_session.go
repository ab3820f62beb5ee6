package client

import (
	"cmp"
	"strings"

	v1 "github.com/kratos-mqtt/kratos-mqtt/api/kratosmqtt/v1"
)

// sessionOwn is the value of the configuration that asks for a session of its
// own.
const sessionOwn = "own"

// session reads what the configuration says about the session of a subscription.
func (p *policy) session(problems *problems, key string, s *v1.Subscription) {
	p.sessionName = s.GetSessionName()
	switch s.GetSession() {
	case sessionOwn:
		p.ownSession = true
	case "":
		if p.sessionName != "" {
			problems.addf(key+".session_name", "has no effect without session: %s", sessionOwn)
		}
	default:
		problems.addf(key+".session", "is not known, want %s or nothing", sessionOwn)
	}
}

// place sets the session of the subscription: one name for all filters of an
// operation, and for all groups of a filter.
func (p *policy) place(sub *Subscription, operation, filter string) {
	switch {
	case !p.ownSession:
	case p.sessionName != "":
		sub.Session = p.sessionName
	default:
		sub.SessionOf = cmp.Or(operation, filter)
		sub.Session = SessionName(sub.SessionOf[strings.LastIndex(operation, "/")+1:])
	}
}
