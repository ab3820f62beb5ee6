// Package operator is what a person does with messages that no retry helped: it groups, lists
// and shows dead letters, replays, deletes and archives them, and does the same for parked
// messages and for the messages of an outbox, waiting or quarantined. It also pauses subscriptions,
// and lists and deletes what the broker retains, and reports the health of the clients.
//
//	reportv1.RegisterReportEventsMQTTServer(srv, reports)
//	calls := operator.New(operator.Options{Source: srv, Parked: srv, Outbox: srv, Subscriptions: srv})
//
//	return calls.List(ctx, operator.Query{Criteria: operator.Criteria{Operation: "/report.v1.ReportEvents/SaveEventReport"}})
//
// It works on values of package event: *broker/mqtt.Broker and *transport/mqtt.Server are
// [LetterSource], [Parked], [Outbox], [Subscriptions] and [Retained]. It links no version of Kratos.
//
// Every call is bounded. A list is read in pages, which end at a number and at bytes. A bulk
// operation has a limit, a rate and a time, reports each letter that failed without stopping
// at it, and returns a cursor with which the next call goes on where it ended.
package operator
