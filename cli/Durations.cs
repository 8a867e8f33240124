using System.CommandLine.Parsing;
using System.Globalization;

namespace Mesh.Cli;

/// <summary>Times on a command line: <c>90s</c>, <c>10m</c>, <c>1h</c>, <c>2d</c>. Stateless.</summary>
internal static class Durations
{
    /// <summary>Parses an option's value; adds an error that says what is expected.</summary>
    public static TimeSpan Parse(ArgumentResult result)
    {
        var text = result.Tokens.Count == 1 ? result.Tokens[0].Value : "";
        var scale = text.Length < 2 ? 0 : text[^1] switch { 's' => 1, 'm' => 60, 'h' => 3600, 'd' => 86400, _ => 0 };
        if (scale > 0 && double.TryParse(text[..^1], NumberStyles.AllowDecimalPoint, CultureInfo.InvariantCulture, out var number)
            && number * scale is >= 1 and <= int.MaxValue)
            return TimeSpan.FromSeconds(number * scale);
        result.AddError($"'{text}' is no time: expected a number and s, m, h or d, for example 10m");
        return default;
    }
}
