package client

import (
	"fmt"
	"sync"

	"github.com/kratos-mqtt/kratos-mqtt/event"
)

// inUse has the client ids that subscribe in this process. All clients of a process must
// share it: a client cannot see that another one connects with the same id, and the broker
// moves the session, with its messages, to the client that connects last.
var inUse = sessionRegistry{holders: make(map[sessionKey]string)} //nolint:gochecknoglobals // of the process

// sessionRegistry records which client uses which session.
type sessionRegistry struct {
	mu      sync.Mutex
	holders map[sessionKey]string
}

// sessionKey identifies a session.
type sessionKey struct{ address, clientID string }

// claim reserves a client id at all addresses, or at none if it is in use at one of them;
// then at is that address and holder the client that uses it.
func (g *sessionRegistry) claim(addresses []Address, clientID, owner string) (release func(), at, holder string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	keys := make([]sessionKey, 0, len(addresses))
	for _, a := range addresses {
		key := sessionKey{a.String(), clientID}
		if holder, taken := g.holders[key]; taken {
			return nil, key.address, holder
		}
		keys = append(keys, key)
	}
	for _, key := range keys {
		g.holders[key] = owner
	}
	return func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		for _, key := range keys {
			delete(g.holders, key)
		}
	}, "", ""
}

// owner returns the name of the client for errors of another one.
func (c *Config) owner() string {
	role := c.Role
	if role == "" {
		role = "the data layer"
	}
	return fmt.Sprintf("%s of service %q", role, c.Service)
}

// claim reserves a client id for one session of the client.
func (c *Config) claim(id string) (release func(), err error) {
	if c.fenced {
		return func() {}, nil
	}
	release, address, holder := inUse.claim(c.Addresses, id, c.owner())
	if holder != "" {
		return nil, &event.Error{Op: "connect", Reason: event.ReasonTakenOver, Cause: fmt.Errorf(
			"client id %q subscribes at %s for %s in this process already, and the broker would hand its session to %s: "+
				"give one of the two a client_id of its own, such as %q", id, address, holder, c.owner(), id+"-2")}
	}
	return release, nil
}

// claim is the reservation of a session's client id.
type claim struct {
	mu      sync.Mutex
	release func() // nil while it is not claimed
	ended   bool   // after Stop
}

// take reserves the client id for this session, before it connects. It is released at the
// end of Stop; further calls do nothing. After Stop nothing is reserved and the session
// connects no more, because nothing would release it.
func (c *claim) take(cfg *Config, id string) (err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.release == nil && !c.ended {
		c.release, err = cfg.claim(id)
	}
	return err
}

func (c *claim) end() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ended = true
	if c.release != nil {
		c.release()
		c.release = nil
	}
}
