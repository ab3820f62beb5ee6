package wire

// Disconnect is the server's last word on an MQTT 5 connection.
type Disconnect struct {
	// ReasonString explains the reason for a person, "" if absent.
	ReasonString string
	// ServerReference names another server to use, "" if absent.
	ServerReference string
	// Reason is 0 for a normal end.
	Reason byte
}

// Decode reads the body of a DISCONNECT. Everything in d is replaced; strings
// are copies. On 3.1.1 only an empty body is accepted.
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
