using System.Runtime.InteropServices;
using System.Text.Json;
using Mesh.EndToEnd.Tests.Testbed;

// echo-app resolve NAME: prints the addresses of a name.
if (args is ["resolve", var wanted])
{
    foreach (var address in System.Net.Dns.GetHostAddresses(wanted)) Console.WriteLine(address);
    return;
}

// echo-app NAME PORT LEDGER: serves until SIGTERM, finishes what runs, then writes the ids it was sent and how often to LEDGER.
var ended = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
using var term = PosixSignalRegistration.Create(PosixSignal.SIGTERM, signal =>
{
    signal.Cancel = true;
    ended.TrySetResult();
});
var app = await EchoApp.StartAsync(args[0], port: int.Parse(args[1]));
await ended.Task;
await app.StopAsync();
await File.WriteAllTextAsync(args[2], JsonSerializer.Serialize(app.Ledger));
