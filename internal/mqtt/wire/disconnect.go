package wire

// Disconnect is the packet with which the server ends an MQTT 5 connection.
type Disconnect struct {
	// ReasonString is the human-readable reason, or "" if absent.
	ReasonString string
	// ServerReference names another server to use, or "" if absent.
	ServerReference string
	// Reason is the reason code; 0 is a normal disconnection.
	Reason byte
}

// Decode reads the body of a DISCONNECT. It replaces every field of d and
// copies strings. On 3.1.1 the body must be empty.
func (d *Disconnect) Decode(v Version, body []byte) error {
	*d = Disconnect{}
	c := cursor(body)
	if len(c) == 0 {
		return nil
	}
	if v != V5 {
		return malformed(TypeDisconnect, "section 2.1.4", "packet must be empty on 3.1.1")
	}
	d.Reason, _ = c.byte()
	if err := checkCode(TypeDisconnect, d.Reason); err != nil {
		return err
	}
	if len(c) == 0 {
		return nil
	}
	props, err := c.properties(TypeDisconnect)
	if err != nil {
		return err
	}
	if len(c) > 0 {
		return malformed(TypeDisconnect, "section 2.1.4", "bytes after the properties")
	}
	var seen uint64
	for len(props) > 0 {
		p, err := props.property(TypeDisconnect, &seen)
		if err != nil {
			return err
		}
		switch p.id {
		case propSessionExpiry:
			return malformed(TypeDisconnect, "MQTT-3.14.2-2", "session expiry from the server")
		case propReasonString:
			d.ReasonString = string(p.data)
		case propServerReference:
			d.ServerReference = string(p.data)
		}
	}
	return nil
}
