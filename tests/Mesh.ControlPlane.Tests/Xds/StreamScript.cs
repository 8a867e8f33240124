using Envoy.Service.Discovery.V3;
using Google.Protobuf;
using Google.Protobuf.WellKnownTypes;
using Mesh.ControlPlane.Compilation;
using Mesh.ControlPlane.Xds;
using Resource = Mesh.ControlPlane.Compilation.Resource;

namespace Mesh.ControlPlane.Tests.Xds;

/// <summary>
/// Plays a conversation with a <see cref="StreamState"/> that is written as text, one step a line:
/// <code>
/// config CDS=a1,b1 EDS=a1     a new configuration: resource a in version 1 ...
/// > CDS a b                   a request for these names with the nonce of the last response (or none)
/// > CDS a b nonce=x           the same with another nonce; "nonce=" sends an empty one
/// > CDS ack | > CDS nack why  an answer to the last response, names as before
/// &lt; CDS a1 b1               the response expected now; all responses must be listed
/// +1s                         time passes
/// ? settled | ? unsettled     what the stream says of itself
/// </code>
/// </summary>
internal sealed class StreamScript
{
    private readonly StreamState state = new("s");
    private readonly Dictionary<string, (string Nonce, string[] Names)> client = [];
    private readonly Queue<string> responses = [];
    private DateTimeOffset now = new(2030, 1, 1, 0, 0, 0, TimeSpan.Zero);

    public StreamState State => state;

    public void Play(string script)
    {
        foreach (var line in script.Split('\n').Select(l => l.Split('#')[0].Trim()).Where(l => l.Length > 0))
        {
            if (line[0] == '<')
            {
                Assert.True(responses.Count > 0, $"expected '{line}', but nothing was sent");
                Assert.Equal(line, responses.Dequeue());
                continue;
            }

            Assert.True(responses.Count == 0, $"before '{line}', unexpected: {string.Join("; ", responses)}");
            Do(line);
            while (state.Next(now) is { } response) responses.Enqueue(Read(response));
        }

        Assert.True(responses.Count == 0, $"at the end, unexpected: {string.Join("; ", responses)}");
    }

    private void Do(string line)
    {
        var words = line.Split(' ', StringSplitOptions.RemoveEmptyEntries);
        switch (words[0])
        {
            case "config": state.Update(Config(words[1..])); break;
            case ">": Request(words[1], words[2..]); break;
            case "?": Assert.Equal(words[1] == "settled", state.IsSettled); break;
            default: now += TimeSpan.FromSeconds(double.Parse(line.Trim('+', 's'))); break;
        }
    }

    private void Request(string type, string[] words)
    {
        var (nonce, names) = client.GetValueOrDefault(type, ("", []));
        var request = new DiscoveryRequest { TypeUrl = Kind(type).TypeUrl };
        if (words is ["nack", .. var why]) request.ErrorDetail = new Google.Rpc.Status { Code = 3, Message = string.Join(' ', why) };
        else if (words is not ["ack"]) names = words.Where(w => !w.StartsWith("nonce=", StringComparison.Ordinal)).ToArray();
        request.ResourceNames.Add(names);
        request.ResponseNonce = words.FirstOrDefault(w => w.StartsWith("nonce=", StringComparison.Ordinal))?[6..] ?? nonce;
        client[type] = (nonce, names);
        state.Receive(request, now);
    }

    private string Read(DiscoveryResponse response)
    {
        var type = ResourceKind.Of(response.TypeUrl)!.ShortName;
        client[type] = (response.Nonce, client[type].Names);
        Assert.All(response.Resources, r => Assert.Equal(response.TypeUrl, r.TypeUrl));
        return string.Join(' ', (string[])["<", type, .. response.Resources.Select(r => r.Value.ToStringUtf8())]);
    }

    public static NodeConfig Config(params string[] parts)
    {
        var sets = parts.Select(p => p.Split('=')).ToDictionary(p => p[0], p => p[1].Split(',', StringSplitOptions.RemoveEmptyEntries));
        return new NodeConfig { Clusters = Set("CDS"), Endpoints = Set("EDS"), Listeners = Set("LDS"), Routes = Set("RDS") };

        ResourceSet Set(string type) => ResourceSet.From(sets.GetValueOrDefault(type, []).Select(text => Resource(type, text)));
    }

    // "a1" is resource a in version 1; its body is that text, so a response shows what it holds.
    private static Resource Resource(string type, string text) =>
        new(text[..^1], new Any { TypeUrl = Kind(type).TypeUrl, Value = ByteString.CopyFromUtf8(text) }, text[^1..]);

    private static ResourceKind Kind(string type) => ResourceKind.InOrder.Single(k => k.ShortName == type);
}
