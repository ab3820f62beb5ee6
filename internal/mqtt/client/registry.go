package client

import (
	"fmt"
	"sync"

	"github.com/kratos-mqtt/kratos-mqtt/event"
)

// inUse are the client ids that subscribe in this process. This state must be shared by
// all clients of a process: a client cannot see that another one connects with its id,
// and the broker hands the session, with everything in it, to the last one that
// connects.
var inUse = sessionRegistry{holders: make(map[sessionKey]string)} //nolint:gochecknoglobals // of the process

// sessionRegistry knows who holds which session.
type sessionRegistry struct {
	mu      sync.Mutex
	holders map[sessionKey]string
}

// sessionKey is what a broker knows a session by.
type sessionKey struct{ address, clientID string }

// claim takes a client id at all of the addresses, or at none if it is taken at one of
// them. Then at is that address and holder the owner there.
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

// owner names the client in an error of another one.
func (c *Config) owner() string {
	role := c.Role
	if role == "" {
		role = "the data layer"
	}
	return fmt.Sprintf("%s of service %q", role, c.Service)
}

// claim takes a client id for one session of the client.
func (c *Config) claim(id string) (release func(), err error) {
	release, address, holder := inUse.claim(c.Addresses, id, c.owner())
	if holder != "" {
		return nil, &event.Error{Op: "connect", Reason: event.ReasonTakenOver, Cause: fmt.Errorf(
			"client id %q subscribes at %s for %s in this process already, and the broker would hand its session to %s: "+
				"give one of the two a client_id of its own, such as %q", id, address, holder, c.owner(), id+"-2")}
	}
	return release, nil
}

// claim is what a session has of its client id.
type claim struct {
	mu      sync.Mutex
	release func() // nil while it is not claimed
	over    bool   // it is not claimed any more
}

// take makes the session the only one of the process with its client id, before
// it connects. It is released at the end of Stop; claiming twice is one claim.
// After Stop it claims nothing, and connects no more: nobody would release it.
func (c *claim) take(cfg *Config, id string) (err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.release == nil && !c.over {
		c.release, err = cfg.claim(id)
	}
	return err
}

func (c *claim) end() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.over = true
	if c.release != nil {
		c.release()
		c.release = nil
	}
}
