using System.Globalization;
using System.Text.RegularExpressions;

namespace Shop.Load;

/// <summary>What is called, how often and for how long. Immutable.</summary>
/// <param name="Url">What is called.</param>
/// <param name="Rps">Requests a second.</param>
/// <param name="Seconds">For how long.</param>
/// <param name="InFlight">So many at once at most: what is due waits, and its wait counts. A machine that is too slow is slow then, not overrun.</param>
/// <param name="Tally">Counts the answers by the text its first group matches; null: no count.</param>
/// <param name="Json">Print JSON.</param>
internal sealed record Arguments(Uri Url, double Rps, double Seconds, int InFlight, Regex? Tally, bool Json)
{
    public static Arguments Parse(string[] args)
    {
        var result = new Arguments(null!, 100, 10, 1024, null, Json: false);
        for (var i = 0; i < args.Length; i++)
        {
            result = args[i] switch
            {
                "--rps" => result with { Rps = Positive(Next(args, ref i)) },
                "--seconds" => result with { Seconds = Positive(Next(args, ref i)) },
                "--in-flight" => result with { InFlight = (int)Math.Max(1, Positive(Next(args, ref i))) },
                "--tally" => result with { Tally = new Regex(Next(args, ref i), RegexOptions.None, TimeSpan.FromSeconds(1)) },
                "--json" => result with { Json = true },
                ['-', ..] => throw new ArgumentException($"unknown option {args[i]}"),
                _ => result with { Url = new Uri(args[i], UriKind.Absolute) },
            };
        }

        return result.Url is null ? throw new ArgumentException("URL is missing") : result;
    }

    private static string Next(string[] args, ref int i) =>
        ++i < args.Length ? args[i] : throw new ArgumentException($"{args[i - 1]} needs a value");

    private static double Positive(string text) =>
        double.TryParse(text, CultureInfo.InvariantCulture, out var value) && value > 0 ? value : throw new FormatException($"'{text}' is no positive number");
}
