using System.Diagnostics;
using System.Text;
using System.Text.Json.Nodes;

namespace Mesh.ControlPlane.Tests.Sources.Registry;

/// <summary>What a call came to, as far as it is compared.</summary>
internal sealed record Outcome(int Status, bool HasIndex, string IndexMove, string ContentType, string Answer);

/// <summary>Plays calls against one registry, keeping values and the indexes of what was read. For one test.</summary>
internal sealed class Replay(HttpClient client)
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(20);
    private readonly Dictionary<string, string> kept = [];
    private readonly Dictionary<string, ulong> indexes = [];

    public void Set(string name, string value) => kept[name] = value;

    public async Task<Outcome> PlayAsync(Call call)
    {
        var watch = Stopwatch.StartNew();
        while (true)
        {
            var answering = SendAsync(call);
            if (call.Meanwhile is { } change)
            {
                // Nothing tells from outside that a request waits; a late start only makes the answer come sooner.
                await Task.Delay(TimeSpan.FromMilliseconds(150));
                (await SendAsync(change)).Dispose();
            }

            using var answer = await answering;
            var text = await answer.Content.ReadAsStringAsync();
            if (call.Until is { } wanted && !text.Contains(wanted, StringComparison.Ordinal))
            {
                if (watch.Elapsed > Patience) throw new TimeoutException($"{client.BaseAddress}: {call} never said {wanted}: {text}");
                await Task.Delay(TimeSpan.FromMilliseconds(50));
                continue;
            }

            if (call.Keep is { } keep) kept[keep.Name] = Pick(answer, text, keep.From);
            var took = watch.Elapsed < call.AtLeast ? $" (after only {watch.Elapsed})" : call.Meanwhile is not null && watch.Elapsed > TimeSpan.FromSeconds(5) ? " (did not wake)" : "";
            return ToOutcome(call, answer, text, took);
        }
    }

    private async Task<HttpResponseMessage> SendAsync(Call call)
    {
        using var request = new HttpRequestMessage(new HttpMethod(call.Method), Fill(call.Path));
        if (call.Body is not null) request.Content = new StringContent(Fill(call.Body), Encoding.UTF8, "application/json");
        return await client.SendAsync(request);
    }

    private Outcome ToOutcome(Call call, HttpResponseMessage answer, string text, string took)
    {
        var isFine = answer.IsSuccessStatusCode || (int)answer.StatusCode == 409;
        var words = !isFine && call.OwnWords ? "(own words)" : AnswerForm.Of(text) + took;
        var type = isFine ? answer.Content.Headers.ContentType?.MediaType ?? "" : "";
        var hasIndex = answer.Headers.TryGetValues("X-Consul-Index", out var values) && (isFine || (int)answer.StatusCode == 404);
        return new Outcome((int)answer.StatusCode, hasIndex, hasIndex ? Move(call.Path, ulong.Parse(values!.Single())) : "", type, words);
    }

    /// <summary>How an index moved since the same thing was read before.</summary>
    private string Move(string path, ulong index)
    {
        var what = path.Split('?')[0];
        var move = !indexes.TryGetValue(what, out var before) ? "first" : index > before ? "grew" : index == before ? "same" : "fell";
        indexes[what] = index;
        return move;
    }

    private string Fill(string text)
    {
        foreach (var (name, value) in kept) text = text.Replace("{" + name + "}", value, StringComparison.Ordinal);
        return text;
    }

    private static string Pick(HttpResponseMessage answer, string text, string from)
    {
        if (from == "header") return answer.Headers.GetValues("X-Consul-Index").Single();
        var node = JsonNode.Parse(text)!;
        foreach (var part in from.Split('.')) node = int.TryParse(part, out var at) ? node[at]! : node[part]!;
        return node.ToString();
    }
}
