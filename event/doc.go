// Package event has what is said to generated code, and what it answers: the options of a
// registration and of a call, reasons of errors, verdicts, hooks and health.
//
//	reportv1.RegisterReportEventsMQTTServer(srv, reports, event.Group("savers"))
//
//	events := reportv1.NewReportEventsMQTTClient(conn)
//	err := events.SaveEventReport(ctx, report, event.Header("tenant", "t1"), event.Expiry(time.Hour))
//	if event.ReasonOf(err) == event.ReasonNotConnected {
//		return errors.New("the broker is down")
//	}
//
// It is the runtime of that code, and holds the types that the public MQTT packages share. It
// imports no client library, so a program that only publishes links no server, and no Kratos.
package event
