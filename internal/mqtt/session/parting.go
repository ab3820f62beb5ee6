package session

// parting is why this side leaves a connection that works, in order.
type parting struct {
	err  error
	code byte // of the DISCONNECT, MQTT 5
	next int  // address of the list to go to, with errLimits
}

// part has the supervisor say DISCONNECT and end the connection, once. It never
// waits.
func (c *conn) part(p *parting) {
	if c.parting.CompareAndSwap(nil, p) {
		c.cancel(p.err)
	}
}
