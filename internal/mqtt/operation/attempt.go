package operation

import "github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/client"

// Attempt is one attempt at one message, and what the transport in the context of its handler
// reads. Of a batch it is that of the first message.
type Attempt struct {
	*client.Delivery
	// Request has the headers of the message, Reply those of the reply of a replier.
	Request, Reply Header

	handler *Handler
}

// NewAttempt returns the attempt of a handler at a message.
func NewAttempt(h *Handler, d *client.Delivery) (a Attempt) {
	a.handler, a.Delivery = h, d
	for _, u := range d.RequestHeader() {
		a.Request.Add(u.Key, u.Value)
	}
	return a
}

// Operation returns the name by which middleware is selected.
func (a *Attempt) Operation() string { return a.handler.operation }

// Endpoint returns the broker's URL, without user information.
func (a *Attempt) Endpoint() string {
	c, _ := a.handler.of.front.Client() // no error: messages arrive
	return c.Endpoint()
}

// Params returns the parameters of the topic by their names in the template, or nil without
// a template that has parameters.
func (a *Attempt) Params() map[string]string { return a.handler.params.read(a.Topic) }
