using Google.Protobuf;
using Google.Protobuf.WellKnownTypes;
using Mesh.Api.V1;
using Mesh.Sidecar.State;

// state-writer FOLDER FIRST: keeps configurations FIRST, FIRST + 1, ... there as a sidecar does, one at once after the other, and says the number of each that is kept.
// Number n holds n % 8 + 1 resources, each with 300,000 bytes of the value n % 251.
var folder = new StateFolder(args[0], TimeProvider.System);
for (var number = int.Parse(args[1]); ; number++)
{
    var kept = new KeptConfiguration { Identity = $"{number}", Confirmed = Timestamp.FromDateTimeOffset(TimeProvider.System.GetUtcNow()) };
    var bytes = ByteString.CopyFrom([.. Enumerable.Repeat((byte)(number % 251), 300_000)]);
    kept.Resources.Add(new KeptConfiguration.Types.Resources { TypeUrl = "x", Resources_ = { Enumerable.Range(0, (number % 8) + 1).Select(_ => new Any { TypeUrl = "x", Value = bytes }) } });
    folder.Write(kept);
    Console.WriteLine(number);
}
