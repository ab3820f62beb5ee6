package client

import (
	"cmp"
	"strings"

	v1 "github.com/kratos-mqtt/kratos-mqtt/api/kratosmqtt/v1"
)

// sessionOwn is the value of the configuration for a session of its own.
const sessionOwn = "own"

// session reads the configuration of a subscription's session.
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

// setSession sets the session of a subscription. All filters of an operation, and all
// groups of a filter, get the same name.
func (p *policy) setSession(sub *Subscription, operation, filter string) {
	switch {
	case !p.ownSession:
	case p.sessionName != "":
		sub.Session = p.sessionName
	default:
		sub.SessionOf = cmp.Or(operation, filter)
		sub.Session = SessionName(sub.SessionOf[strings.LastIndex(operation, "/")+1:])
	}
}
