using System.CommandLine;
using System.Text.Json;
using System.Text.Json.Serialization.Metadata;

namespace Mesh.Cli.Output;

/// <summary>The form an answer is printed in.</summary>
internal enum OutputFormat
{
    /// <summary>For people.</summary>
    Table,

    /// <summary>The operators' API's own.</summary>
    Json,

    /// <summary>The same values.</summary>
    Yaml,
}

/// <summary>Prints an answer in the form asked for. Stateless.</summary>
internal static class Report
{
    private static readonly JsonSerializerOptions Indented = new(Api.Operators.OperatorsJson.Default.Options) { WriteIndented = true };

    public static Option<OutputFormat> FormatOption() => new("--output", "-o") { Description = "table, json or yaml" };

    /// <summary>The text of an answer.</summary>
    public static string Of<T>(T answer, OutputFormat format, JsonTypeInfo<T> type, Func<T, string> table) => format switch
    {
        OutputFormat.Json => JsonSerializer.Serialize(answer, (JsonTypeInfo<T>)Indented.GetTypeInfo(type.Type)) + "\n",
        OutputFormat.Yaml => Yaml.Of(JsonSerializer.SerializeToElement(answer, type)),
        _ => table(answer),
    };
}
